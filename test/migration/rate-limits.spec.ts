import { FastMonotonicTime } from '../support/fast-monotonic-time';
import { MigrationScene } from './migration-run';

/** MIGRATION_FULL=true: 50 users with ten workspaces of three environments of 20 secrets. */
const FULL = process.env['MIGRATION_FULL'] === 'true';
const [USERS, WORKSPACES, SECRETS] = FULL ? [50, 10, 20] : [12, 5, 5];
/** A minute of the server and of the command passes in three seconds, in which they have the time to do what is theirs. */
const SPEED = 20;
const LISTS_A_MINUTE = 60;

describe("a migration under the fork's rate limits", () => {
  it(
    'takes no longer than its lists do by the limit, and a tenth, and is refused nothing',
    async () => {
      const scene = await MigrationScene.open(true);
      const { fake } = scene.predecessor;
      fake.nowMs = () => performance.now() * SPEED;
      try {
        for (let user = 0; user < USERS; user++)
          for (let workspace = 0; workspace < WORKSPACES; workspace++) {
            const project = scene.project(`user${user}`, `ws${workspace}`);
            for (const environment of ['dev', 'staging', 'prod'])
              for (let secret = 0; secret < SECRETS; secret++)
                scene.predecessor.addSecret(project, environment, `n:${secret}`, `value ${secret}`);
          }
        const lists = USERS * WORKSPACES * 3;
        const time = new FastMonotonicTime(SPEED);
        const startMs = time.nowMs();
        const report = await scene.run({ time, requestTimeoutMs: 600_000 });
        const minutes = (time.nowMs() - startMs) / 60_000;
        if (FULL) process.stdout.write(`${lists} lists took ${minutes.toFixed(1)} min\n`);
        expect(report.totals).toMatchObject({ read: lists * SECRETS, written: lists * SECRETS, skipped: 0 });
        expect(report.complete).toBe(true);
        expect(fake.count('GET', '/api/v3/secrets/raw')).toBe(lists);
        expect(fake.calls.filter(({ status }) => status === 429)).toEqual([]);
        expect(minutes).toBeLessThan((lists / LISTS_A_MINUTE) * 1.1);
        expect(scene.predecessor.roles()).toEqual([]);
      } finally {
        await scene.close();
      }
    },
    FULL ? 300_000 : 60_000,
  );
});
