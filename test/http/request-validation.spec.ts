import type { ArgumentMetadata } from '@nestjs/common';
import fc from '../support/fast-check';
import {
  ListSecretRequest,
  NamedSecretRequest,
  SecretRequest,
  WorkspaceQuery,
  RequestValidationPipe,
} from '../../src/http/controllers/request-validation';

const body = (metatype: ArgumentMetadata['metatype']): ArgumentMetadata => ({ type: 'body', metatype });
const query: ArgumentMetadata = { type: 'query', metatype: WorkspaceQuery };

async function outcome(pipe: RequestValidationPipe, value: unknown, of: ArgumentMetadata): Promise<unknown> {
  try {
    // A copy: the pipe may use up what it is given.
    return { valid: await pipe.transform(structuredClone(value), of) };
  } catch (error: unknown) {
    return { refused: error instanceof Error ? error.message : error };
  }
}

/** As they come from JSON and from a query: few enough different ones for many to be sent twice. */
const text = fc.oneof(
  fc.constantFrom('', 'a', 'prod', 'dev', ' a', 'a/b', '__proto__', 'n'.repeat(600)),
  fc.string(),
);
const field = fc.oneof(text, fc.constantFrom(null, 1, true), fc.array(text, { maxLength: 2 }));
const name = fc.constantFrom('name', 'value', 'env', 'workspace', 'other');
const request = fc.dictionary(name, field, { maxKeys: 4 });

describe('a remembered request', () => {
  const kinds = [query, body(ListSecretRequest), body(NamedSecretRequest), body(SecretRequest)];

  it('is validated as if nothing had been sent before, and an invalid one is still refused', async () => {
    const used = new RequestValidationPipe();
    const asked = fc.tuple(request, fc.constantFrom(...kinds));
    await fc.assert(
      fc.asyncProperty(asked, async ([value, of]) => {
        const fresh = await outcome(new RequestValidationPipe(), value, of);
        expect(await outcome(used, value, of)).toEqual(fresh);
        expect(await outcome(used, value, of)).toEqual(fresh);
      }),
      { numRuns: 500 },
    );
  });

  it('is shared by equal requests, and frozen so that none can change it for the others', async () => {
    const pipe = new RequestValidationPipe();
    const first = await pipe.transform({ name: 'a', env: '' }, body(NamedSecretRequest));
    expect(await pipe.transform({ name: 'a', env: '' }, body(NamedSecretRequest))).toBe(first);
    expect(first).toBeInstanceOf(NamedSecretRequest);
    expect(Object.isFrozen(first)).toBe(true);
    expect(first).toEqual({ name: 'a', env: 'prod' });
  });

  it('is remembered for one operation only', async () => {
    const pipe = new RequestValidationPipe();
    await pipe.transform({ name: 'a' }, body(NamedSecretRequest));
    await expect(async () => pipe.transform({ name: 'a' }, body(ListSecretRequest))).rejects.toThrow();
  });

  it("is not remembered where it has a secret's value", async () => {
    const pipe = new RequestValidationPipe();
    const sent = { name: 'a', value: 'v' };
    const first = await pipe.transform({ ...sent }, body(SecretRequest));
    expect(await pipe.transform({ ...sent }, body(SecretRequest))).not.toBe(first);
  });
});
