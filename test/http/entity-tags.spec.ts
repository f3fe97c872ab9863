import { EntityTags } from '../../src/http/controllers/secrets.controller';
import { PreconditionFailed } from '../../src/errors/store-errors';
import { fixed, type Reloadable } from '../../src/reloadable/reloadable';

const scope = { user: 'alice', workspace: 'ws', environment: 'prod' } as const;
const secret = { name: 'k', value: '1234' };
const [oldKey, newKey] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
const tagsOf = (key: Uint8Array) => new EntityTags(fixed(key));

describe('an entity tag', () => {
  it('depends on the access-token key, so that nobody else can compute it from a guess of the value', () => {
    expect(tagsOf(oldKey).ofSecret(scope, secret)).not.toBe(tagsOf(newKey).ofSecret(scope, secret));
    expect(tagsOf(oldKey).ofSecret(scope, secret)).toBe(
      tagsOf(Uint8Array.from(oldKey)).ofSecret(scope, secret),
    );
  });

  it('of the key before is accepted after the key was replaced, and of an unknown key is not', () => {
    const versions = [
      { value: newKey, ageMs: () => 1 },
      { value: oldKey, ageMs: () => Infinity },
    ];
    const replaced: Reloadable<Uint8Array> = { ...fixed(newKey), versions };
    const isAccepted = (key: Uint8Array) =>
      new EntityTags(replaced).precondition(tagsOf(key).ofSecret(scope, secret) as string, scope)?.(secret);
    expect(() => isAccepted(newKey)).not.toThrow();
    expect(() => isAccepted(oldKey)).not.toThrow();
    expect(() => isAccepted(new Uint8Array(32).fill(3))).toThrow(PreconditionFailed);
  });

  it('of a list tells apart lists whose texts are the same when joined', async () => {
    const tags = tagsOf(oldKey);
    const lists = [
      [{ name: 'a', value: 'bc' }],
      [{ name: 'ab', value: 'c' }],
      [
        { name: 'a', value: '' },
        { name: 'b', value: 'c' },
      ],
      [
        { name: 'a', value: 'b' },
        { name: 'c', value: '' },
      ],
      [],
    ];
    const seen = await Promise.all(lists.map(async (list) => tags.ofList(scope, list)));
    expect(new Set(seen).size).toBe(lists.length);
  });

  it('of a large list, which is hashed in parts, is the same each time, and tells orders apart', async () => {
    const tags = tagsOf(oldKey);
    const large = ['a', 'b', 'c'].map((name) => ({ name, value: name.repeat(200_000) }));
    const reordered = [...large].reverse();
    expect(await tags.ofList(scope, large)).toBe(await tags.ofList(scope, structuredClone(large)));
    expect(await tags.ofList(scope, large)).not.toBe(await tags.ofList(scope, reordered));
  });
});
