import { parseAppCredentials } from '../../src/grant-sources/directory/app-folder';

const GOOD = 'user: alice\nappKey: bytetrade_notes_1\nappSecret: 0123456789abcdef\n';

describe('app.yaml', () => {
  it('states the user, the key and the secret', () => {
    const credentials = { user: 'alice', appKey: 'bytetrade_notes_1', appSecret: '0123456789abcdef' };
    expect(parseAppCredentials(GOOD)).toEqual(credentials);
    expect(parseAppCredentials(`# c\n---\n${GOOD}`.replaceAll('\n', '\r\n'))).toEqual(credentials);
    expect(parseAppCredentials(JSON.stringify(credentials))).toEqual(credentials);
  });

  it.each<[string, number, string, string]>([
    ['without a user', 1, 'user is missing', GOOD.replace('user: alice\n', '')],
    ['without a key', 1, 'appKey is missing', GOOD.replace(/appKey.*\n/, '')],
    ['without a secret', 1, 'appSecret is missing', GOOD.replace(/appSecret.*\n/, '')],
    ['with an empty secret', 3, 'appSecret is empty', GOOD.replace('0123456789abcdef', '""')],
    ['with a blank key', 2, 'appKey is empty', GOOD.replace('bytetrade_notes_1', '" "')],
    ['with no value', 3, 'appSecret must be text; put it in quotes', GOOD.replace(' 0123456789abcdef', '')],
    [
      'with a number',
      3,
      'appSecret must be text; put it in quotes',
      GOOD.replace('0123456789abcdef', '1234567'),
    ],
    [
      'with a list',
      2,
      'appKey must be text; put it in quotes',
      GOOD.replace('bytetrade_notes_1', '[canary]'),
    ],
    ['with a user that is not sane', 1, 'user must be 1-253 letters', GOOD.replace('alice', '../canary')],
    [
      'with an unknown key',
      4,
      'an unknown key; known are user, appKey, appSecret',
      `${GOOD}canary: canary\n`,
    ],
    ['with __proto__', 4, 'an unknown key', `${GOOD}__proto__: {user: canary}\n`],
    ['with a key in other letters', 2, 'an unknown key', GOOD.replace('appKey', 'appkey')],
    ['with a key twice', 4, 'stated twice', `${GOOD}appSecret: canary\n`],
    ['with an anchor', 1, 'a YAML anchor', GOOD.replace('alice', '&canary alice')],
    ['with a tag', 3, 'a YAML tag', GOOD.replace('0123', '!canary 0123')],
    ['with a merge key', 4, 'merge key', `${GOOD}<<: canary\n`],
    ['that is no YAML', 4, 'not valid YAML', GOOD.replace('0123', '"canary')],
    ['that is no YAML in another way', 2, 'not valid YAML', GOOD.replace('appKey:', 'appKey: canary:')],
    ['with two documents', 4, 'not valid YAML', `${GOOD}---\ncanary: 1\n`],
    ['that is text', 1, 'must state user, appKey, appSecret', 'canary'],
    ['that is empty', 1, 'must state user, appKey, appSecret', ''],
    ['that is a list', 1, 'must state user, appKey, appSecret', '- canary\n'],
  ])('%s is refused, and nothing of it is repeated', (_, line, reason, text) => {
    const parsed = parseAppCredentials(text);
    expect(parsed).toEqual({ refused: expect.stringContaining(reason), line: expect.any(Number) });
    expect(parsed).toHaveProperty('line', line);
    for (const value of ['canary', '0123456789', 'bytetrade', '1234567']) {
      expect(JSON.stringify(parsed)).not.toContain(value);
    }
  });
});
