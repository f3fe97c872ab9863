import { DIALECTS, type CallName, type Dialect, type DialectName } from './dialect';
import { classifyFailure, recordedReason, type FailureReason } from './failure-reason';

/** What one answer means on each generation. */
export type Readings = Readonly<Record<DialectName, FailureReason>>;

/** What a server of another generation looks like to one who takes it for this one. */
const STRANGE: ReadonlySet<FailureReason> = new Set(['routeNotFound', 'notUnderstood']);
/** So does this, where a recorded case of another generation fits the answer and means something else there. */
const AMBIGUOUS: ReadonlySet<FailureReason> = new Set([
  'tokenDead',
  'permissionDenied',
  'invalidRequest',
  'serverFailure',
]);

/** How others would read a failure, where it makes it doubtful that the server speaks `dialect`; else undefined. */
export function otherReadings(
  dialect: Dialect,
  call: CallName,
  { status, body }: { readonly status: number; readonly body: unknown },
): Readings | undefined {
  const own = classifyFailure(dialect.failures, call, status, body);
  const meansElse = ({ failures }: Dialect) => (recordedReason(failures, call, status, body) ?? own) !== own;
  const doubtful = STRANGE.has(own) || (AMBIGUOUS.has(own) && Object.values(DIALECTS).some(meansElse));
  if (!doubtful) return undefined;
  const read = (name: DialectName) => classifyFailure(DIALECTS[name].failures, call, status, body);
  return { fork: read('fork'), v3: read('v3'), v4: read('v4') };
}
