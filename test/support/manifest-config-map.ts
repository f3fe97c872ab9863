import { createHash } from 'node:crypto';
import { parseOp } from '../../src/authz/sys-data';
import type { FakeApiServer } from './fake-api-server/fake-api-server';

/** The namespace of the service, in which approvals are kept. */
export const OWN_NAMESPACE = 'os-protected';

export interface ManifestApp {
  readonly app: string;
  readonly user: string;
  readonly ops: readonly string[];
}

/** Returns the manifest of an app. */
export function manifestText(name: string, ops: readonly string[], more = ''): string {
  const stated = ops.map((op) => `        - ${JSON.stringify(op)}\n`).join('');
  return `metadata:
  name: ${JSON.stringify(name)}
permission:
${more}  sysData:
    - dataType: secret
      group: secret.infisical
      version: v1
      ops:${stated === '' ? ' []\n' : `\n${stated}`}`;
}

/** Returns the ConfigMap with which an app brings its manifest into its namespace. */
export function manifestMap(namespace: string, text: string, name = 'olares-manifest') {
  return {
    metadata: { name, namespace, labels: { 'secrets.olares.com/manifest': 'true' } },
    data: { 'OlaresManifest.yaml': text },
  };
}

export function namespaceObject(name: string, owner?: string, more: object = {}) {
  const labels = owner === undefined ? {} : { labels: { 'bytetrade.io/ns-owner': owner } };
  return { metadata: { name, ...labels, ...more } };
}

export interface StatedApproval {
  readonly user: string;
  readonly app: string;
  readonly workspace: string;
  readonly operations: string;
}

/** Returns the ConfigMap of an approval, as an operator writes it. */
export function approvalMap(data: StatedApproval, namespace = OWN_NAMESPACE) {
  const name = `approval-${createHash('sha256').update(JSON.stringify(data)).digest('hex').slice(0, 20)}`;
  return { metadata: { name, namespace, labels: { 'secrets.olares.com/grant-approval': 'true' } }, data };
}

/** Installs an app as Olares does, with a pasted ConfigMap. */
export function installApp(server: FakeApiServer, { app, user, ops }: ManifestApp): void {
  const namespace = `${app}-${user}`;
  server.of('namespaces').put(namespaceObject(namespace, user));
  server.of('configmaps').put(manifestMap(namespace, manifestText(app, ops)));
}

/** Approves everything that an app states. */
export function approveAll(server: FakeApiServer, { app, user, ops }: ManifestApp): void {
  for (const op of ops) {
    const grant = parseOp(op, app);
    if (!('operation' in grant)) continue;
    const { operation: operations, workspace } = grant;
    server.of('configmaps').put(approvalMap({ user, app, workspace, operations }));
  }
}
