import { Module, type DynamicModule } from '@nestjs/common';
import { factory, Runtime, trustedAuthorities } from '../../bootstrap/runtime.module';
import { ScopeLock } from '../../concurrency/keyed-work';
import { textFrom } from '../../config/environment-reader';
import type { Settings } from '../../config/settings';
import type { ConnectionSettings, InfisicalStoreSettings } from '../../config/store-settings';
import { ServiceProblems } from '../../http/controllers/health.controller';
import { WatchedFiles } from '../../reloadable/reloadable';
import { Telemetry } from '../../telemetry/telemetry.module';
import { Clock, MonotonicTime } from '../../time/clock';
import { StoreBackend } from '../stores.module';
import type { ReloadableCredentials, UniversalAuthCredentials } from './auth/login-method';
import { createInfisicalStores } from './create-infisical-secret-store';
import type { RouteOptions } from './transport/transport-route';

/**
 * Returns the settings in the form that the adapter takes.
 * @param files where undefined, a changed CA file has no effect
 * @throws Error where the CA file is unusable now
 */
export function infisicalConnection(
  { authorityFiles, proxyUrl }: ConnectionSettings,
  files?: WatchedFiles,
): Pick<RouteOptions, 'authorities' | 'proxyUrl'> {
  const authorities = authorityFiles && trustedAuthorities('INFISICAL_CA_FILE', authorityFiles, files);
  return {
    // The file is read before each connection: the server may use its new certificate as soon as its authority is in the file.
    ...(authorities !== undefined && { authorities: () => authorities.renewed() }),
    ...(proxyUrl !== undefined && { proxyUrl }),
  };
}

/** Returns the client id and the client secret, which change with their files; undefined where neither is in a file. */
function reloadedLogin(
  { credentialFiles, ...store }: InfisicalModuleOptions,
  files: WatchedFiles,
): ReloadableCredentials | undefined {
  const { INFISICAL_CLIENT_ID: idFile, INFISICAL_CLIENT_SECRET: secretFile } = credentialFiles;
  const paths = [idFile, secretFile].filter((path) => path !== undefined);
  if (!('clientId' in store) || paths.length === 0) return undefined;
  const { clientId, clientSecret } = store;
  const parse = (contents: readonly Uint8Array[]): UniversalAuthCredentials => {
    const texts = contents.map(textFrom);
    const empty = texts.indexOf('');
    if (empty >= 0) throw new Error(`${paths[empty]} is empty`);
    const [first = ''] = texts;
    return {
      clientId: idFile === undefined ? clientId : first,
      clientSecret: secretFile === undefined ? clientSecret : (texts.at(-1) ?? ''),
    };
  };
  const name = 'INFISICAL_CLIENT_ID, INFISICAL_CLIENT_SECRET';
  return {
    universalAuth: files.follow({ paths, parse, kind: 'credential', name }, { clientId, clientSecret }),
  };
}

type InfisicalModuleOptions = InfisicalStoreSettings & Pick<Settings, 'credentialFiles'>;

@Module({})
export class InfisicalModule {
  static register(options: InfisicalModuleOptions): DynamicModule {
    const backend = factory(
      StoreBackend,
      [Runtime, Clock, MonotonicTime, WatchedFiles, ScopeLock, Telemetry, ServiceProblems],
      ({ log }, clock, time, files, scopeLock, { infisical: observer }, problems) => {
        const reloaded = { ...infisicalConnection(options, files), ...reloadedLogin(options, files) };
        const operationTimeoutMs = options.timeoutMs;
        const all = { ...options, ...reloaded, operationTimeoutMs, observer, scopeLock };
        const stores = createInfisicalStores(all, clock, log, time);
        problems.add(() => stores.store.problems());
        return stores;
      },
    );
    return { module: InfisicalModule, providers: [backend], exports: [backend] };
  }
}
