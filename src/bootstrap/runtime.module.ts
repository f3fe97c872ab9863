import {
  Global,
  Module,
  type DynamicModule,
  type FactoryProvider,
  type OnApplicationShutdown,
  type Type,
} from '@nestjs/common';
import { keyFrom, readFile } from '../config/environment-reader';
import type { SecretSettingName } from '../config/setting-definitions';
import type { Settings } from '../config/settings';
import {
  type AuthorityFiles,
  certificatesFrom,
  otherAuthorities,
  readCertificates,
  tlsMaterialFrom,
  type TlsFiles,
  type TlsMaterial,
  tlsPaths,
} from '../config/tls-settings';
import { ServiceProblems } from '../http/controllers/health.controller';
import { type Log, type LogDestination, type LogEvent, logEvent } from '../logging/log';
import { type Reloadable, fixed, WatchedFiles } from '../reloadable/reloadable';
import { Clock, MonotonicTime, SystemClock, SystemMonotonicTime } from '../time/clock';

type AnyClass = abstract new (...args: never[]) => unknown;
type InstancesOf<C extends readonly AnyClass[]> = { readonly [I in keyof C]: InstanceType<C[I]> };

/** Returns a provider whose factory is called with an instance of each class. Unlike in Nest's own form, the compiler checks them. */
export function factory<T, const C extends readonly AnyClass[]>(
  provide: (abstract new (...args: never[]) => T) | string,
  inject: C,
  useFactory: (...instances: InstancesOf<C>) => T | undefined | Promise<T | undefined>,
): FactoryProvider {
  return { provide, inject: [...inject] as Type[], useFactory };
}

/** What a process is started with. */
export class Runtime {
  readonly log: LogEvent;

  constructor(
    readonly settings: Settings,
    readonly logger: Log,
    /** Standard output, where the log goes; undefined in a test. */
    readonly lines?: LogDestination,
  ) {
    this.log = logEvent(logger);
  }
}

/** The credentials by which we verify callers and callers verify us; those given as files change with their files. */
export class ServiceCredentials {
  readonly accessTokenKey: Reloadable<Uint8Array>;
  readonly userTokenSecret: Reloadable<Uint8Array>;
  /** Undefined where callers use no TLS. */
  readonly tls: Reloadable<TlsMaterial> | undefined;

  constructor({ accessTokenKey, userToken, tls, credentialFiles }: Settings, files: WatchedFiles) {
    const key = (name: SecretSettingName, initial: Uint8Array): Reloadable<Uint8Array> => {
      const { [name]: path = '' } = credentialFiles;
      return files.followFile(name, credentialFiles[name], (bytes) => keyFrom(path, bytes), initial);
    };
    this.accessTokenKey = key('ACCESS_TOKEN_KEY', accessTokenKey);
    this.userTokenSecret = key('USER_TOKEN_SECRET', userToken.secret);
    this.tls = tls && reloadedTls(tls, files);
  }
}

function reloadedTls(tls: TlsFiles, files: WatchedFiles): Reloadable<TlsMaterial> {
  const parse = (contents: readonly Uint8Array[], nowMs: number): TlsMaterial => {
    const material = tlsMaterialFrom(tls, contents);
    if (material.expiresAtMs <= nowMs)
      throw new Error(`${tls.certFile} holds a certificate that has expired`);
    return material;
  };
  const describe = ({ expiresAtMs }: TlsMaterial): Readonly<Record<string, string>> => ({
    expires: new Date(expiresAtMs).toISOString(),
  });
  const about = { paths: tlsPaths(tls), parse, describe, kind: 'tls', name: 'TLS_CERT_FILE' } as const;
  return files.follow(about, tlsMaterialFrom(tls, tlsPaths(tls).map(readFile)));
}

/**
 * Returns the authorities of the file that the setting names, and all others that are trusted.
 * @param files where undefined, a changed file has no effect
 * @throws Error where the file is unusable now
 */
export function trustedAuthorities(
  name: 'INFISICAL_CA_FILE' | 'REDIS_CA_FILE',
  authorityFiles: AuthorityFiles,
  files: WatchedFiles | undefined,
): Reloadable<readonly string[]> {
  const { caFile } = authorityFiles;
  const others = otherAuthorities(authorityFiles);
  const initial = [...others, ...readCertificates(caFile)];
  const parse = (bytes: Uint8Array) => [...others, ...certificatesFrom(caFile, bytes)];
  return files === undefined ? fixed(initial) : files.followFile(name, caFile, parse, initial);
}

/** Provides what every other module may use: settings, log, time, credentials and the list of problems. */
@Global()
@Module({})
export class RuntimeModule implements OnApplicationShutdown {
  constructor(private readonly files: WatchedFiles) {}

  static register(settings: Settings, log: Log, lines?: LogDestination): DynamicModule {
    const providers = [
      { provide: Runtime, useValue: new Runtime(settings, log, lines) },
      { provide: Clock, useClass: SystemClock },
      { provide: MonotonicTime, useClass: SystemMonotonicTime },
      factory(
        WatchedFiles,
        [Clock, MonotonicTime, Runtime],
        (clock, time, runtime) => new WatchedFiles(clock, time, runtime.log),
      ),
      factory(
        ServiceCredentials,
        [Runtime, WatchedFiles],
        (runtime, files) => new ServiceCredentials(runtime.settings, files),
      ),
      ServiceProblems,
    ];
    return { module: RuntimeModule, providers, exports: providers };
  }

  onApplicationShutdown(): void {
    this.files.close();
  }
}
