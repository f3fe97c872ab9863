import { StoreUnavailable } from '../../errors/store-errors';
import type { Secret } from '../../secrets/secret';
import type { SecretRow } from './answers';
import type { Log } from './infisical-options';
import { decodeValue, UnreadableValue } from './value-codec';

/** What a row holds. @throws StoreUnavailable where the server hid the value, or its form is not ours */
export function readableSecret(row: SecretRow, log: Log): Secret {
  try {
    if (row.stored === undefined) throw new UnreadableValue();
    return { name: row.name, value: decodeValue(row.stored) };
  } catch (error: unknown) {
    if (!(error instanceof UnreadableValue)) throw error;
    log('infisical.value.unreadable', { hidden: String(row.stored === undefined) });
    throw new StoreUnavailable('The secret store holds a value in a form that cannot be read.');
  }
}
