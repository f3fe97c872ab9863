import { fieldsOf } from '../../../json/json';
import type { Route } from '../versions/calls';
import type { InfisicalClient } from '../transport/infisical-client';
import { InfisicalCallFailed } from '../versions/infisical-call-failed';
import { operatorSentence } from '../versions/refused-write';

/** The setup cannot go on. The message is for the operator; the words of a server in it hold no secret. */
export class SetupFailed extends Error {}

/** The server was bootstrapped, which is possible only once, and a later step failed: exit code 3. */
export class BootstrapUnfinished extends SetupFailed {}

const TIMEOUT_MS = 30_000;

/** The values that are sent and never shown, even where a server repeats them. */
const SECRET_FIELDS: ReadonlySet<string> = new Set([
  'password',
  'clientSecret',
  'tokenReviewerJwt',
  'caCert',
]);

export interface AdminAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Sends calls with one token, or with none. No call is repeated: an operator is watching. */
export class AdminCalls {
  constructor(
    private readonly client: InfisicalClient,
    private readonly bearer?: string,
  ) {}

  /** Returns any answer. @throws SetupFailed where there is none */
  async ask(
    method: Route['method'],
    template: string,
    path: Readonly<Record<string, string>> = {},
    body?: Readonly<Record<string, unknown>>,
  ): Promise<AdminAnswer> {
    const target = template.replace(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(path[key] ?? ''));
    try {
      const answer = await this.client.send({
        call: 'setup',
        method,
        pathTemplate: template,
        target,
        timeoutMs: TIMEOUT_MS,
        ...(body !== undefined && { body }),
        ...(this.bearer !== undefined && { bearer: this.bearer }),
      });
      return { status: answer.status, body: fieldsOf(answer.body) };
    } catch (error: unknown) {
      if (!(error instanceof InfisicalCallFailed)) throw error;
      throw new SetupFailed(`Infisical gave no answer to ${method} ${template} (${error.reason}).`);
    }
  }

  /** Returns the body of a successful answer. @throws SetupFailed with `why` for any other answer */
  async demand(why: string, ...call: Parameters<AdminCalls['ask']>): Promise<AdminAnswer['body']> {
    const { status, body } = await this.ask(...call);
    if (status === 200) return body;
    throw this.refused(why, { status, body }, call);
  }

  /** Makes the error, with the server's own words, from which the secrets that were sent are removed. */
  refused(
    why: string,
    { status, body }: AdminAnswer,
    [method, template, , sent = {}]: Parameters<AdminCalls['ask']>,
  ): SetupFailed {
    const fields = Object.entries(sent).filter(
      (field): field is [string, string] => typeof field[1] === 'string',
    );
    const secrets = fields.filter(([name]) => SECRET_FIELDS.has(name)).map(([, value]) => value);
    const open = fields.filter(([name]) => !SECRET_FIELDS.has(name)).flatMap(([, value]) => openWords(value));
    const bearer = this.bearer === undefined ? [] : [this.bearer];
    const said = operatorSentence(body, {
      secrets: [...secrets, ...bearer].filter((text) => text !== ''),
      open,
    });
    const words = said === undefined ? '' : `: Infisical says "${said}"`;
    return new SetupFailed(`${why}${words} (${method} ${template} answers ${status}).`);
  }
}

/** Returns the value as the operator wrote it, and the host of a URL, which the errors of a resolver name. */
function openWords(value: string): readonly string[] {
  return URL.canParse(value) ? [value, new URL(value).hostname, new URL(value).host] : [value];
}

export function rowsOf(body: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(body) ? body.map(fieldsOf) : [];
}

/** @throws SetupFailed */
export function textOf(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name];
  if (typeof value === 'string' && value !== '') return value;
  throw new SetupFailed(`Infisical's answer lacks the field ${name}.`);
}
