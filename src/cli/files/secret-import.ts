import {
  mayPass,
  NotGrantedError,
  OutcomeUnknownError,
  SecretAlreadyExistsError,
  SecretVaultError,
  UnauthenticatedError,
} from '../../client/errors.js';
import type { Secret, SecretVault } from '../../client/index.js';
import { failureOf, printableLine } from '../console';

/** `same`: it has this value already; `left`: it exists and keeps its value; `not-tried`: the service was gone by then. */
const IMPORT_OUTCOMES = ['created', 'changed', 'same', 'left', 'failed', 'not-tried'] as const;
type ImportOutcome = (typeof IMPORT_OUTCOMES)[number];

/** What became of one secret; in a dry run, what would. */
interface ImportResult {
  readonly name: string;
  readonly outcome: ImportOutcome;
  /** Of a failure the reason of docs/errors.md. */
  readonly reason?: string;
  readonly message?: string;
}

interface ImportChoice {
  readonly overwrites: boolean;
  readonly isDryRun: boolean;
}

const LEFT = 'it exists with another value, which --overwrite replaces';

/** A failure of one secret after which no other is tried. */
class ImportEnd extends Error {
  constructor(readonly failure: unknown) {
    super();
  }
}

/**
 * Stores secrets one after the other. The failure of one does not stop the others, unless the service or a credential cannot be asked at all.
 * @throws SecretVaultError where nothing can be read of the workspace, which a dry run needs
 */
export async function importSecrets(
  vault: SecretVault,
  secrets: readonly Secret[],
  choice: ImportChoice,
): Promise<readonly ImportResult[]> {
  const current = await currentValues(vault, secrets, choice.isDryRun);
  const results: ImportResult[] = [];
  let end: Pick<ImportResult, 'reason' | 'message'> | undefined;
  for (const secret of secrets) {
    const { name } = secret;
    if (end !== undefined) {
      results.push({ name, outcome: 'not-tried', ...end });
      continue;
    }
    try {
      const outcome = await importOne(vault, secret, current, choice);
      results.push({ name, outcome, ...(outcome === 'left' && { message: LEFT }) });
    } catch (error: unknown) {
      const failure = error instanceof ImportEnd ? error.failure : error;
      const why =
        failure instanceof SecretVaultError
          ? { reason: failure.reason, message: failure.message }
          : { message: failureOf(failure).message };
      results.push({ name, outcome: 'failed', ...why });
      if (error instanceof ImportEnd || isEnd(error)) end = why;
    }
  }
  return results;
}

/** Whether the other secrets would fail for the same reason; a credential's file that cannot be read is no error of the service. */
function isEnd(error: unknown): boolean {
  return !(error instanceof SecretVaultError) || error instanceof UnauthenticatedError || mayPass(error);
}

/** A value that the store cannot show is undefined. */
type CurrentValues = ReadonlyMap<string, string | undefined>;

/** Returns the values that secrets of these names have now; undefined where the app may not read, which an import can do without. */
async function currentValues(
  vault: SecretVault,
  secrets: readonly Secret[],
  isNeeded: boolean,
): Promise<CurrentValues | undefined> {
  try {
    const values = new Map<string, string | undefined>();
    const onUnreadable = (names: readonly string[]) => names.forEach((name) => values.set(name, undefined));
    for (const { name, value } of await vault.list({ onUnreadable })) values.set(name, value);
    return values;
  } catch (error: unknown) {
    const isOfListsAlone = error instanceof SecretVaultError && error.reason === 'LIST_TOO_LARGE';
    if (!isOfListsAlone && !(error instanceof NotGrantedError)) throw error;
  }
  try {
    const values = new Map<string, string | undefined>();
    let isAfterFailure = false;
    for (const { name } of secrets) {
      try {
        const value = await vault.getOr(name, undefined);
        if (value !== undefined) values.set(name, value);
        isAfterFailure = false;
      } catch (error: unknown) {
        // The answer for a value that the store cannot show; twice in a row it is the store that fails.
        const isOfValue = error instanceof SecretVaultError && error.reason === 'STORE_UNAVAILABLE';
        if (!isOfValue || isAfterFailure) throw error;
        values.set(name, undefined);
        isAfterFailure = true;
      }
    }
    return values;
  } catch (error: unknown) {
    if (isNeeded || !(error instanceof NotGrantedError)) throw error;
    return undefined;
  }
}

async function importOne(
  vault: SecretVault,
  { name, value }: Secret,
  current: CurrentValues | undefined,
  { overwrites, isDryRun }: ImportChoice,
): Promise<ImportOutcome> {
  if (current?.get(name) === value) return 'same';
  const exists = current?.has(name) === true;
  if (exists && !overwrites) return 'left';
  if (isDryRun) return exists ? 'changed' : 'created';
  if (!exists) {
    const isCreated = await confirmed(vault, { name, value }, () => vault.create(name, value));
    if (isCreated) return 'created';
    // Somebody else has created it meanwhile, or we may not read what there is.
    if (!overwrites) return (await valueIfReadable(vault, name)) === value ? 'same' : 'left';
  }
  await confirmed(vault, { name, value }, () => vault.put(name, value));
  return 'changed';
}

/**
 * Makes a write, and reads whether it happened where that is unknown. Returns false where there is a secret of that name.
 * @throws ImportEnd where that cannot be read either
 */
async function confirmed(
  vault: SecretVault,
  { name, value }: Secret,
  write: () => Promise<void>,
): Promise<boolean> {
  try {
    await write();
    return true;
  } catch (error: unknown) {
    if (error instanceof SecretAlreadyExistsError) return false;
    if (!(error instanceof OutcomeUnknownError)) throw error;
    const found = await vault.getOr(name, undefined).catch(() => {
      throw new ImportEnd(error);
    });
    if (found !== value) throw error;
    return true;
  }
}

async function valueIfReadable(vault: SecretVault, name: string): Promise<string | undefined> {
  try {
    return await vault.getOr(name, undefined);
  } catch (error: unknown) {
    if (error instanceof SecretVaultError) return undefined;
    throw error;
  }
}

/** Returns the report for people, one line for each secret. */
export function importReport(results: readonly ImportResult[], isDryRun: boolean): string {
  return results
    .map(({ name, outcome, reason, message }) => {
      const would = isDryRun && (outcome === 'created' || outcome === 'changed') ? 'would be ' : '';
      const why = [reason, message].filter((part) => part !== undefined).join(': ');
      return `${printableLine(`${would}${outcome} ${name}${why === '' ? '' : ` (${why})`}`)}\n`;
    })
    .join('');
}

/** Returns how many secrets had each outcome. */
export function countedOutcomes(results: readonly ImportResult[]): Readonly<Record<ImportOutcome, number>> {
  const counts = IMPORT_OUTCOMES.map(
    (one) => [one, results.filter(({ outcome }) => outcome === one).length] as const,
  );
  return Object.fromEntries(counts) as Record<ImportOutcome, number>;
}
