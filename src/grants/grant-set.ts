import { LRUCache } from 'lru-cache';
import { type Grant, grantKey } from './grant';

/** Apps of a catalogue state the same for each of their users, so that there are far fewer sets than installations. */
const MOST_CHARACTERS = 4 * 1024 * 1024;

const remembered = new LRUCache<string, ReadonlySet<string>>({
  maxSize: MOST_CHARACTERS,
  sizeCalculation: (_set, text) => 1 + text.length,
});

/** The compiled grants of an app; the same set for all that state the same, which a hundred thousand installations do. */
export function grantSet(grants: readonly Grant[]): ReadonlySet<string> {
  const keys = grants.map(({ operation, workspace }) => grantKey(operation, workspace));
  // No key has a blank.
  const text = keys.join(' ');
  const known = remembered.get(text);
  if (known !== undefined) return known;
  const set = new Set(keys);
  remembered.set(text, set);
  return set;
}
