import type { IncomingMessage } from 'node:http';
import type { AuditRecord } from '../../src/audit/audit-sink';
import type { AuditTrail } from '../../src/audit/audit-trail';
import { parseOp } from '../../src/authz/sys-data';
import { InvalidRequest } from '../../src/errors/request-errors';
import { EntityTags } from '../../src/http/controllers/secrets.controller';
import { AuditedRequest } from '../../src/http/request/audited-request';
import { loginCookiesIn } from '../../src/http/request/credential-headers';
import { NO_TARGET, type ProviderRequest } from '../../src/http/request/provider-request';
import { fixed } from '../../src/reloadable/reloadable';
import { isSecretName } from '../../src/secrets/secret';

const scope = { user: 'alice', workspace: 'ws', environment: 'prod' } as const;

/** Counts the matches of regular expressions and the pieces of splits that the work asks for, however it asks. */
function stepsOf(work: () => void): number {
  // Everything that matches by a regular expression calls its exec(), once that is not the language's own.
  const matched = jest.spyOn(RegExp.prototype, 'exec');
  const cut = jest.spyOn(String.prototype, 'split');
  try {
    work();
    const pieces = cut.mock.results.map(({ value }) => (value as readonly string[]).length);
    return pieces.reduce((sum, one) => sum + one, matched.mock.calls.length);
  } finally {
    matched.mockRestore();
    cut.mockRestore();
  }
}

describe('a text of a stranger', () => {
  it('that is too long for a name is refused before it is read', () => {
    const long = ':'.repeat(60_000);
    expect(isSecretName(long)).toBe(false);
    expect(stepsOf(() => isSecretName(long))).toBe(0);
    expect(stepsOf(() => isSecretName('a:b'))).toBeGreaterThan(0);
  });

  it('with thousands of cookies is taken apart where one may be the login cookie alone', () => {
    const cookiesOf = (cookie: string) => () =>
      expect(loginCookiesIn({ headersDistinct: { cookie: [cookie] } } as unknown as IncomingMessage)).toEqual(['t=1']); // prettier-ignore
    const [few, many] = [5, 15_000].map((count) => stepsOf(cookiesOf(`${'a=b;'.repeat(count)} auth_token = t=1 `)));
    // One piece for each of the pairs, and nothing more.
    expect((many ?? 0) - (few ?? 0)).toBe(14_995);
  }); // prettier-ignore

  it('with thousands of entity tags is refused by the first ones', () => {
    const tags = new EntityTags(fixed(new Uint8Array(32)));
    const stepsWith = (count: number): number => {
      const failures: unknown[] = [];
      const steps = stepsOf(() => {
        try {
          tags.precondition('"a",'.repeat(count), scope);
        } catch (error: unknown) {
          failures.push(error);
        }
      });
      expect(failures).toEqual([expect.any(InvalidRequest)]);
      return steps;
    };
    expect(stepsWith(4_000)).toBeLessThan(stepsWith(17) + 10);
  });

  it('that is an op with thousands of parameters is refused by the first ones', () => {
    for (const mark of ['?', '&']) {
      const stepsWith = (count: number) =>
        stepsOf(() => parseOp(`ListSecret?workspace=a${mark.repeat(count)}`, 'notes'));
      expect(stepsWith(60_000)).toBe(stepsWith(2));
    }
  });

  it('is not taken apart for a record of its refusal either', async () => {
    const taken: AuditRecord[] = [];
    const take = (record: AuditRecord) => Promise.resolve(void taken.push(record));
    const trail = { take, takeRefusal: take } as unknown as AuditTrail;
    const body = { operations: 'RetrieveSecret,'.repeat(4_000), workspace: 'desk', Key: ':'.repeat(60_000) };
    const request = { id: 'r', socket: {}, target: NO_TARGET, body, failure: 'INVALID_REQUEST', cleanup: {} };
    let ended: Promise<void> | undefined;
    const audited = new AuditedRequest(request as unknown as ProviderRequest, 'ApproveGrant', 0, trail);
    const steps = stepsOf(() => {
      ended = audited.ended();
    });
    expect(steps).toBeLessThan(20);
    await ended;
    expect(taken).toMatchObject([{ workspace: 'desk', approved: ['RetrieveSecret?workspace=desk'] }]);
    expect(taken[0]).not.toHaveProperty('name');
  });
});
