import type { SecretOperation } from '../grants/grant';

/** One call of the tour and the whole answer that the contract documents for it. */
export interface TourStep {
  readonly operation: SecretOperation;
  readonly body: Readonly<Record<string, string>>;
  readonly code: number;
  /** Undefined where the answer carries a request id: `reason` is compared then. */
  readonly data?: unknown;
  readonly reason?: string;
}

const NAME = 'wallet-password';

/** A secret's whole life. The first step's answer may be 409 where an earlier tour was cut short. */
export const TOUR_STEPS: readonly TourStep[] = [
  {
    operation: 'CreateSecret',
    body: { name: NAME, value: 'correct horse', env: 'dev' },
    code: 200,
    data: '',
  },
  {
    operation: 'RetrieveSecret',
    body: { name: NAME, env: 'dev' },
    code: 200,
    data: { name: NAME, value: 'correct horse', env: 'dev' },
  },
  {
    operation: 'UpdateSecret',
    body: { name: NAME, value: ' battery staple\n', env: 'dev' },
    code: 200,
    data: '',
  },
  {
    operation: 'ListSecret',
    body: { env: 'dev' },
    code: 200,
    data: [{ name: NAME, value: ' battery staple\n', env: 'dev' }],
  },
  { operation: 'DeleteSecret', body: { name: NAME, env: 'dev' }, code: 200, data: '' },
  { operation: 'RetrieveSecret', body: { name: NAME, env: 'dev' }, code: 404, reason: 'SECRET_NOT_FOUND' },
];
