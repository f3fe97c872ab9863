import { StoreClient } from '../support/store-client';
import { Writable } from 'node:stream';
import { SystemClock } from '../../src/time/clock';
import { createLog, logEvent } from '../../src/logging/log';
import type { SecretScope } from '../../src/secrets/secret';
import { createInfisicalSecretStore } from '../support/infisical-store';
import { projectSlug } from '../../src/stores/infisical/projects/project-slug';
import { outcome } from '../conformance/secret-store.conformance';
import { FakeInfisical } from '../support/fake-infisical/fake-infisical';

const SCOPE: SecretScope = { user: 'alice', workspace: 'notes', environment: 'staging' };

/** What the service logs of an Infisical with a damaged value, one without the environment that somebody deleted, a page in its place, and an identity that is not the right one. */
export async function infisicalLog(): Promise<string> {
  let text = '';
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString('utf8');
      done();
    },
  });
  const [fake, log] = [await FakeInfisical.start({ apiVersion: 'v4' }), logEvent(createLog('info', sink))];
  const { clientId, clientSecret } = fake.identity;
  const options = { url: fake.url, clientId, clientSecret };
  const open = (more: { organizationId?: string; clientId?: string; clientSecret?: string } = {}) =>
    new StoreClient(createInfisicalSecretStore({ ...options, ...more }, new SystemClock(), log));
  const store = open();
  const wrong = open({ organizationId: '334e1428-3927-4c1d-b618-16bced09bd25' });
  fake.world.addIdentity('weak', 'weak', false);
  const weak = open({ clientId: 'weak', clientSecret: 'weak' });
  try {
    await outcome(wrong.ping());
    await outcome(weak.create(SCOPE, { name: 'k', value: 'v' }));
    await store.create(SCOPE, { name: 'k', value: 'v' });
    const [location] =
      fake.project(projectSlug(SCOPE))?.environments.filter(({ slug }) => slug === 'staging') ?? [];
    if (location === undefined) throw new Error('The environment is missing.');
    fake.world.addSecret(location, 'damaged', 'osp:v2:typed by hand');
    await outcome(store.list(SCOPE));
    fake.world.deleteEnvironment(projectSlug(SCOPE), 'staging', true);
    await outcome(store.create(SCOPE, { name: 'l', value: 'v' }));
    fake.fail({ times: 9, fault: { kind: 'answer', status: 404, body: null, raw: '404 page not found' } });
    await outcome(store.list(SCOPE));
    await outcome(store.ping());
    return text;
  } finally {
    for (const opened of [store, wrong, weak]) await opened.close();
    await fake.close();
  }
}
