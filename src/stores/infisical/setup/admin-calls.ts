import type { Route } from '../versions/calls';
import type { InfisicalClient } from '../transport/infisical-client';
import { InfisicalCallFailed } from '../versions/infisical-call-failed';

/** The setup cannot go on; the message is for the operator and holds nothing that a server or a file said. */
export class SetupFailed extends Error {}

const TIMEOUT_MS = 30_000;

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
    throw new SetupFailed(`${why} (${call[0]} ${call[1]} answers ${status}).`);
  }
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
