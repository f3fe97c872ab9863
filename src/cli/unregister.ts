import '../bootstrap/hardened-process';
import { UsageError } from '../errors/operator-errors';
import { SystemMonotonicTime } from '../time/clock';
import { kubeConfigConnection } from '../kubernetes/kube-config';
import { KubeConfigUnusable, KubernetesApi, kubernetesFailureOf } from '../kubernetes/kubernetes-api';
import { endpointIn } from '../config/grant-settings';
import { unregister } from '../registration/unregister';

/**
 * The command `node dist/cli/unregister.js`, which the chart's uninstall runs: one sentence, exit code 1 on failure. It removes what was registered for
 * PROVIDER_ENDPOINT, of every kind.
 */
async function main(): Promise<void> {
  // The pauses of MonotonicTime do not keep the process alive.
  const awake = setInterval(() => undefined, 1000);
  try {
    const time = new SystemMonotonicTime();
    const endpoint = endpointIn(process.env['PROVIDER_ENDPOINT'] ?? '');
    if (endpoint === undefined)
      throw new UsageError('PROVIDER_ENDPOINT must be <service>.<namespace>:<port>, as the service had it.');
    const api = new KubernetesApi(kubeConfigConnection(process.env), time);
    const removed = await unregister(api, time, endpoint);
    process.stdout.write(`${removed} registrations were removed.\n`);
  } finally {
    clearInterval(awake);
  }
}

main().catch((error: unknown) => {
  const isOurs = error instanceof KubeConfigUnusable || error instanceof UsageError;
  const reason = isOurs ? error.message : kubernetesFailureOf(error).message;
  process.stderr.write(`The registrations could not be removed: ${reason}\n`);
  process.exit(1);
});
