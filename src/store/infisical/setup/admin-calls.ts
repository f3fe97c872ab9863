import type { Route } from '../dialect';
import type { InfisicalClient } from '../infisical-client';
import { InfisicalCallFailed } from '../infisical-call-failed';
import { operatorSentence } from '../refused-write';
import { SetupFailed } from './setup-failed';

const TIMEOUT_MS = 30_000;

/** What is sent and never shown, whoever repeats it. */
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

/** Calls with one token, or with none. Nothing is tried twice: an operator is watching. */
export class AdminCalls {
  constructor(
    private readonly client: InfisicalClient,
    private readonly bearer?: string,
  ) {}

  /** Any answer. @throws SetupFailed where none came */
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

  /** The body of a success. @throws SetupFailed with `why` for any other answer */
  async demand(why: string, ...call: Parameters<AdminCalls['ask']>): Promise<AdminAnswer['body']> {
    const { status, body } = await this.ask(...call);
    if (status === 200) return body;
    throw this.refused(why, { status, body }, call);
  }

  /** Says why, in the server's own words too: nothing secret of what was sent is in them. */
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

/** As the operator wrote it, and of a URL its host too: that is what a resolver names. */
function openWords(value: string): readonly string[] {
  return URL.canParse(value) ? [value, new URL(value).hostname, new URL(value).host] : [value];
}

export function fieldsOf(body: unknown): Readonly<Record<string, unknown>> {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
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
