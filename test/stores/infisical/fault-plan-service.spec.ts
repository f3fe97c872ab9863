import { SECRET_OPERATIONS, type SecretOperation } from '../../../src/authz/grant';
import { OTMOICLP } from '../../support/example-apps';
import { FixedGrantSource } from '../../support/fixed-grant-source';
import { httpCall, type Answer } from '../../support/http-call';
import { startService } from '../../support/service';
import { accessToken, userToken } from '../../support/tokens';
import { CLIENT_SECRET, leaksIn, VALUE } from './canary';
import { WIRE_FAULTS, type OperationResult, type ExpectedResults } from './fault-plan';
import {
  SHORT_TIMEOUTS,
  NAME,
  openTestedStore,
  LONG_TIMEOUTS,
  type TestedStore,
  shortPauses,
} from './fault-plan-run';
import { at } from './opened-store';

const BODIES: Readonly<Record<SecretOperation, object>> = {
  RetrieveSecret: { name: NAME },
  ListSecret: {},
  CreateSecret: { name: `${NAME}-2`, value: VALUE },
  UpdateSecret: { name: NAME, value: `${VALUE}2` },
  DeleteSecret: { name: NAME },
};

const CHOSEN = [
  'reset before headers',
  'slow body',
  'truncated JSON',
  'a page with 502',
  'a 429 with Retry-After',
  'a 500',
  'a refusal that nobody knows',
  'a redirect',
];

/** Starts the service on the store and returns its answers to one call of each operation and of readiness. */
async function answersOf(tested: TestedStore) {
  const ops = SECRET_OPERATIONS.map((operation) => `${operation}?workspace=${at().workspace}`);
  const { clock, store } = tested;
  const service = await startService({
    clock,
    store: store.store,
    grantSource: new FixedGrantSource([{ ...OTMOICLP, ops }]),
  });
  try {
    const headers = {
      'x-authorization': await userToken(OTMOICLP.user, clock.nowMs()),
      'x-access-token': await accessToken(OTMOICLP.app, OTMOICLP.user, ops, clock.nowMs()),
    };
    const answers: Answer[] = [];
    // One after the other: writes that wait for each other would use each other's time.
    for (const operation of SECRET_OPERATIONS) {
      const url = `${service.url}/${operation}?workspace=${at().workspace}`;
      answers.push(await httpCall(url, { headers, body: BODIES[operation] }));
    }
    const ready = await httpCall(`${service.url}/readyz`, { method: 'GET' });
    return {
      answers: Object.fromEntries(SECRET_OPERATIONS.map((one, i) => [one, shown(answers[i]!)])),
      ready,
      log: service.log(),
      leaks: [...answers, ready].flatMap(({ text, headers }) => leaksIn([text, headers])),
    };
  } finally {
    await service.close();
  }
}

function shown({ status, headers, body }: Answer): string {
  const { data } = body as { data: { reason: string } };
  const wait = headers['retry-after'] === undefined ? '' : ` after ${headers['retry-after']}`;
  return `${status} ${data.reason}${wait}`;
}

const ANSWERED: Readonly<Partial<Record<OperationResult['outcome'], string>>> = {
  StoreUnavailable: '503 STORE_UNAVAILABLE after 1',
  StoreOutcomeUnknown: '503 STORE_OUTCOME_UNKNOWN',
  'TooManyRequests 59': '429 TOO_MANY_REQUESTS after 59',
};

const answered = ({ read, write }: ExpectedResults) => ({
  RetrieveSecret: ANSWERED[read.outcome],
  ListSecret: ANSWERED[read.outcome],
  CreateSecret: ANSWERED[write.outcome],
  UpdateSecret: ANSWERED[write.outcome],
  DeleteSecret: ANSWERED[write.outcome],
});

shortPauses();

describe.each(['fork', 'v3', 'v4'] as const)('the service in front of a server (%s)', (apiVersion) => {
  const chosen = Object.entries(WIRE_FAULTS).filter(([title]) => CHOSEN.includes(title));

  it.each(chosen)('that meets %s answers with the reason and shows nothing else', async (_title, wire) => {
    const tested = await openTestedStore(apiVersion, wire.unanswered ? SHORT_TIMEOUTS : LONG_TIMEOUTS);
    tested.fake.fail({ times: 999, fault: wire.fault('before') });
    const { answers, ready, log, leaks } = await answersOf(tested);
    expect(answers).toEqual(answered(wire.always));
    expect([ready.status, ready.body.data.reason]).toEqual([503, 'NOT_READY']);
    expect(leaksIn(log)).toEqual([]);
    expect(leaks).toEqual([]);
    expect(log).not.toContain(NAME);
  });

  it('serves the value to nobody but who asked for it', async () => {
    const { answers, ready, log } = await answersOf(await openTestedStore(apiVersion, LONG_TIMEOUTS));
    expect(Object.values(answers).filter((text) => !text.startsWith('200'))).toEqual([]);
    expect(ready.status).toBe(200);
    expect(leaksIn(log)).toEqual([]);
    expect(log).not.toContain(CLIENT_SECRET);
  });
});
