import type { Socket } from 'node:net';
import { Drain } from '../../src/http/guards/admission.guard';
import { PeerVerifier } from '../../src/authn/peer-verifier';
import { UserDirectory } from '../../src/authn/tokens';
import { type LoadFigures, type LimitsObserver, RateLimits } from '../../src/limits/rate-limits';
import { eventually } from '../support/eventually';
import { exampleApps, OTMOICLP } from '../support/example-apps';
import { FixedClock } from '../support/fixed-clock';
import { httpCall } from '../support/http-call';
import { MemorySecretStore } from '../support/memory.secret-store';
import { openSocket } from '../support/raw-exchange';
import { startService, TEST_SETTINGS, type Service } from '../support/service';
import { accessToken, userToken } from '../support/tokens';

/** Something that a request waits for, until it is opened. */
class Gate {
  #open: () => void = () => undefined;
  passed: Promise<void> = Promise.resolve();
  arrived = 0;

  shut(): void {
    this.passed = new Promise((resolve) => (this.#open = resolve));
  }
  open(): void {
    this.#open();
  }
  async pass(): Promise<void> {
    this.arrived += 1;
    await this.passed;
  }
}

const clock = new FixedClock();
const [directory, budget, storing, peer] = [new Gate(), new Gate(), new Gate(), new Gate()];
const gates = [directory, budget, storing, peer];

class GatedDirectory extends UserDirectory {
  async accepts(): Promise<boolean> {
    await directory.pass();
    return true;
  }
}
class GatedBudgets extends RateLimits {
  async take(): Promise<undefined> {
    await budget.pass();
  }
  charge(): void {}
}
class GatedPeers extends PeerVerifier {
  provesSystemServer(address: string | undefined): boolean {
    return address === '127.0.0.2';
  }
  override async provesTrustedFor(): Promise<boolean> {
    await peer.pass();
    return false;
  }
  async trustedServiceAccountOf(): Promise<undefined> {}
  async provesEventSender(): Promise<boolean> {
    return false;
  }
  async provesSettings(): Promise<boolean> {
    return false;
  }
}
class GatedStore extends MemorySecretStore {
  override async retrieve(...call: Parameters<MemorySecretStore['retrieve']>) {
    await storing.pass();
    return super.retrieve(...call);
  }
}

let figures = (): LoadFigures => ({ inFlight: 0, bodyBytes: 0, answerBytes: 0 });
let connections = (): number => 0;
const limits: LimitsObserver = {
  opened: (read) => (figures = read),
  connectionsOpened: (count) => (connections = count),
  refused: () => undefined,
  shed: () => undefined,
};
const telemetry = { limits, listen: async () => undefined, close: async () => undefined };
/** A quarter of these is one app's. */
const MAX_IN_FLIGHT = 8;
const SCOPE = { user: 'alice', workspace: 'otmoic', environment: 'prod' } as const;
/** More than the buffers of two sockets hold. */
const LARGE = { ...SCOPE, environment: 'dev' } as const;

describe('a client that hangs up', () => {
  const store = new GatedStore();
  let service: Service;
  let credentials: string;
  let headers: Record<string, string>;
  beforeAll(async () => {
    const adapters = { clock, store, grantSource: exampleApps(), userDirectory: new GatedDirectory() };
    service = await startService(
      { ...adapters, rateLimits: new GatedBudgets(), peerVerifier: new GatedPeers(), telemetry },
      { limits: { ...TEST_SETTINGS.limits, maxInFlight: MAX_IN_FLIGHT } },
    );
    headers = {
      'x-authorization': await userToken('alice', clock.nowMs()),
      'x-access-token': await accessToken('otmoiclp', 'alice', OTMOICLP.ops, clock.nowMs()),
    };
    credentials = Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('');
    await store.create(SCOPE, { name: 'small', value: 'v' });
    const value = 'x'.repeat(500_000);
    for (let at = 0; at < 20; at += 1) await store.create(LARGE, { name: `k${at}`, value });
  });
  afterAll(() => service.close());
  beforeEach(() => {
    for (const gate of gates) gate.arrived = 0;
  });

  const body = (text: string) =>
    `Content-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  const head = (extra = '') =>
    `POST /RetrieveSecret?workspace=otmoic HTTP/1.1\r\nHost: x\r\n${credentials}${extra}`;
  const retrieve = (name: string, extra = '') => `${head(extra)}${body(JSON.stringify({ name }))}`;
  const arrivedAt = (gate: Gate, count: number) => async () =>
    eventually(() => {
      if (gate.arrived < count) throw new Error(`${gate.arrived} arrived`);
    });
  const heldBytes = (field: 'bodyBytes' | 'answerBytes', least: number) => async () =>
    eventually(() => {
      if (figures()[field] < least) throw new Error(`${figures()[field]} bytes`);
    });
  const connected = (count: number) => async () =>
    eventually(() => {
      if (connections() < count) throw new Error(`${connections()} connections`);
    });

  interface Step {
    readonly shut?: Gate;
    readonly sent: () => string;
    readonly reached: () => Promise<void>;
    readonly from?: string;
    readonly count?: number;
  }
  const STEPS: Readonly<Record<string, Step>> = {
    'before its head is there': { sent: () => head().slice(0, -10), reached: connected(4) },
    'while it is asked whether its peer is proven': {
      shut: peer,
      sent: () => retrieve('small', 'X-Bfl-User: alice\r\n'),
      reached: arrivedAt(peer, 4),
    },
    'while its user is verified': {
      shut: directory,
      sent: () => retrieve('small'),
      reached: arrivedAt(directory, 4),
    },
    'while its rate is looked at': {
      shut: budget,
      sent: () => retrieve('small'),
      reached: arrivedAt(budget, 4),
    },
    'in the middle of its body': {
      sent: () => retrieve('small').slice(0, -3),
      reached: heldBytes('bodyBytes', 64),
    },
    'in the middle of a body whose length it did not tell': {
      sent: () => `${head('Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n')}\r\n1\r\n{\r\n`,
      reached: heldBytes('bodyBytes', 4 * 65_536),
    },
    'in the middle of a body that is proven by its peer': {
      from: '127.0.0.2',
      sent: () => retrieve('small', 'X-Bfl-User: alice\r\n').slice(0, -3),
      reached: heldBytes('bodyBytes', 64),
    },
    'in the middle of a body that nobody has proven': {
      sent: () =>
        `POST /permission/v1alpha1/access HTTP/1.1\r\nHost: x\r\n${body('{"app_key":"x"}').slice(0, -3)}`,
      reached: heldBytes('bodyBytes', 60),
    },
    'while the store is asked': {
      shut: storing,
      sent: () => retrieve('small'),
      reached: arrivedAt(storing, 2),
    },
    'while others of its connection are asked for first': {
      shut: storing,
      count: 1,
      sent: () => retrieve('small').repeat(2) + retrieve('small').slice(0, -3),
      reached: arrivedAt(storing, 2),
    },
    'without having read its answers': {
      count: 2,
      sent: () => `${head().replace('Retrieve', 'List')}${body('{"env":"dev"}')}`,
      reached: heldBytes('answerBytes', 20_000_000),
    },
  };

  it.each(Object.keys(STEPS))(
    "%s leaves nothing behind, and reduces nothing of its app's share",
    async (title) => {
      const { shut, sent, reached, from, count = 4 } = STEPS[title]!;
      shut?.shut();
      const sockets = Array.from({ length: count }, (): Socket => openSocket(service.url, from).pause());
      for (const socket of sockets) socket.write(sent());
      await reached();
      for (const socket of sockets) socket.destroy();
      await eventually(() => expect(connections()).toBe(0));
      shut?.open();
      await eventually(() => expect(figures()).toEqual({ inFlight: 0, bodyBytes: 0, answerBytes: 0 }));
      // The whole share of the app is free again.
      storing.shut();
      storing.arrived = 0;
      const share = Array.from({ length: MAX_IN_FLIGHT / 4 }, () =>
        httpCall(`${service.url}/RetrieveSecret?workspace=otmoic`, { headers, body: { name: 'small' } }),
      );
      await arrivedAt(storing, share.length)();
      storing.open();
      expect((await Promise.all(share)).map(({ status }) => status)).toEqual([200, 200]);
      await eventually(() => expect(figures().inFlight).toBe(0));
    },
  );

  it.each(['destroy', 'end'] as const)(
    'while its user is verified, with %s and before its body is there, is no fault of ours',
    async (how) => {
      directory.shut();
      const socket = openSocket(service.url);
      socket.write(retrieve('small').slice(0, -3));
      await arrivedAt(directory, 1)();
      socket[how]();
      await eventually(() => expect(connections()).toBe(0));
      directory.open();
      await eventually(() => expect(figures()).toEqual({ inFlight: 0, bodyBytes: 0, answerBytes: 0 }));
      await new Promise(setImmediate);
      expect(service.logLines().filter(({ msg }) => msg === 'request_failed')).toEqual([]);
      expect(service.logLines().findLast(({ msg }) => msg === 'request_completed')).toMatchObject({
        code: 499,
      });
    },
  );

  it('at once and repeatedly leaves nothing behind either', async () => {
    for (let round = 0; round < 10; round += 1) {
      const sockets = Array.from({ length: 20 }, () => openSocket(service.url));
      for (const socket of sockets) socket.write(retrieve('small'), () => socket.resetAndDestroy());
      await Promise.all(sockets.map((socket) => new Promise((closed) => socket.once('close', closed))));
    }
    await eventually(() => expect([connections(), figures().inFlight]).toEqual([0, 0]), 20_000);
    const answer = await httpCall(`${service.url}/RetrieveSecret?workspace=otmoic`, {
      headers,
      body: { name: 'small' },
    });
    expect(answer.status).toBe(200);
  });

  it('has no more pipelined requests served than it could have awaited', async () => {
    const completed = () => service.logLines().filter(({ msg }) => msg === 'request_completed').length;
    const before = completed();
    storing.shut();
    const socket = openSocket(service.url);
    socket.write(retrieve('small').repeat(300));
    // The service closes it, and gives back all that its requests held.
    await new Promise((closed) => socket.once('close', closed));
    await eventually(() => expect(figures().inFlight).toBe(0));
    expect(completed() - before).toBeLessThanOrEqual(8);
    storing.open();
  });

  it('is logged once for each request whose head had arrived, and the service drains without it', async () => {
    const completed = () => service.logLines().filter(({ msg }) => msg === 'request_completed').length;
    const before = completed();
    storing.shut();
    const socket = openSocket(service.url);
    socket.write(retrieve('small').repeat(2));
    await arrivedAt(storing, 2)();
    socket.destroy();
    await eventually(() => expect(completed() - before).toBe(2));
    storing.open();
    const drain = service.app.get(Drain);
    await drain.onModuleDestroy();
    expect(drain.hasCutOff).toBe(false);
  });
});
