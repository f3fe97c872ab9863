import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { STATUS_OF } from '../../src/errors/domain-error';

describe('docs/errors.md', () => {
  const text = readFileSync(join(__dirname, '../../docs/errors.md'), 'utf8');
  const documented = [...text.matchAll(/^\| `([A-Z_]+)` \| (\d{3}) \| (.+) \| (.+) \|$/gm)];

  it('documents every reason with its code, and no other, both ways', () => {
    expect(Object.fromEntries(documented.map(([, reason, code]) => [reason, Number(code)]))).toEqual(
      STATUS_OF,
    );
    expect(documented.map(([, reason]) => reason)).toHaveLength(Object.keys(STATUS_OF).length);
  });

  it('says for each what happened and what to do', () => {
    for (const [, , , what = '', mend = ''] of documented) {
      expect(what.length).toBeGreaterThan(5);
      expect(mend.length).toBeGreaterThan(5);
    }
  });
});
