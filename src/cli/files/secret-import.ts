import {
  mayPass,
  NotGrantedError,
  OutcomeUnknownError,
  SecretAlreadyExistsError,
  SecretVaultError,
  UnauthenticatedError,
} from '../../client/errors.js';
import type { Secret, SecretVault } from '../../client/index.js';
import { printableLine } from '../console';

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

/**
 * Stores secrets one after the other. The failure of one does not stop the others, unless the service cannot be asked at all.
 * @throws SecretVaultError where nothing can be read of the workspace, which a dry run needs
 */
export async function importSecrets(
  vault: SecretVault,
  secrets: readonly Secret[],
  choice: ImportChoice,
): Promise<readonly ImportResult[]> {
  const current = await currentValues(vault, secrets, choice.isDryRun);
  const results: ImportResult[] = [];
  let end: SecretVaultError | undefined;
  for (const secret of secrets) {
    const { name } = secret;
    if (end !== undefined) {
      results.push({ name, outcome: 'not-tried', reason: end.reason, message: end.message });
      continue;
    }
    try {
      const outcome = await importOne(vault, secret, current?.get(name), choice);
      results.push({ name, outcome, ...(outcome === 'left' && { message: LEFT }) });
    } catch (error: unknown) {
      if (!(error instanceof SecretVaultError)) throw error;
      results.push({ name, outcome: 'failed', reason: error.reason, message: error.message });
      if (error instanceof UnauthenticatedError || mayPass(error)) end = error;
    }
  }
  return results;
}

/** Returns the values that secrets of these names have now; undefined where the app may not read, which an import can do without. */
async function currentValues(
  vault: SecretVault,
  secrets: readonly Secret[],
  isNeeded: boolean,
): Promise<ReadonlyMap<string, string> | undefined> {
  try {
    return new Map((await vault.list()).map(({ name, value }) => [name, value]));
  } catch (error: unknown) {
    const isOfListsAlone = error instanceof SecretVaultError && error.reason === 'LIST_TOO_LARGE';
    if (!isOfListsAlone && !(error instanceof NotGrantedError)) throw error;
  }
  try {
    const values = new Map<string, string>();
    for (const { name } of secrets) {
      const value = await vault.getOr(name, undefined);
      if (value !== undefined) values.set(name, value);
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
  current: string | undefined,
  { overwrites, isDryRun }: ImportChoice,
): Promise<ImportOutcome> {
  if (current === value) return 'same';
  if (current !== undefined && !overwrites) return 'left';
  if (isDryRun) return current === undefined ? 'created' : 'changed';
  if (current === undefined) {
    const isCreated = await create(vault, name, value);
    if (isCreated) return 'created';
    // Somebody else has created it meanwhile, or we may not read what there is.
    if (!overwrites) return (await valueIfReadable(vault, name)) === value ? 'same' : 'left';
  }
  await vault.put(name, value);
  return 'changed';
}

/** Returns false where there is a secret of that name. */
async function create(vault: SecretVault, name: string, value: string): Promise<boolean> {
  try {
    await vault.create(name, value);
    return true;
  } catch (error: unknown) {
    if (error instanceof SecretAlreadyExistsError) return false;
    const isStored = error instanceof OutcomeUnknownError && (await valueIfReadable(vault, name)) === value;
    if (!isStored) throw error;
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
