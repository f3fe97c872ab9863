import { keyFrom, readFile, textFrom } from '../config/secret-source';
import type { SecretSettingName } from '../config/setting-definitions';
import type { Settings, InfisicalStoreSettings } from '../config/settings';
import { tlsMaterialFrom, type TlsFiles, type TlsMaterial, tlsPaths } from '../config/tls-settings';
import { type Reloadable, fixed } from '../reloadable/reloadable';
import type { WatchedFiles } from '../reloadable/watched-files';
import type { ReloadableCredentials, UniversalAuthCredentials } from '../stores/infisical/auth/login-method';

/** The credentials by which we verify callers and callers verify us, as opposed to those of the store. */
export interface ServiceCredentials {
  readonly accessTokenKey: Reloadable<Uint8Array>;
  readonly userTokenSecret: Reloadable<Uint8Array>;
  /** Present where callers use TLS. */
  readonly tls?: Reloadable<TlsMaterial>;
}

/** Returns the credentials of the settings, which never change. */
export function fixedCredentials({ accessTokenKey, userToken, tls }: Settings): ServiceCredentials {
  return {
    accessTokenKey: fixed(accessTokenKey),
    userTokenSecret: fixed(userToken.secret),
    ...(tls !== undefined && { tls: fixed(readTlsMaterial(tls)) }),
  };
}

/** Returns the credentials of the settings; those given as files change with their files. */
export function reloadedCredentials(settings: Settings, files: WatchedFiles): ServiceCredentials {
  const { accessTokenKey, userToken, tls, credentialFiles } = settings;
  const key = (name: SecretSettingName, initial: Uint8Array): Reloadable<Uint8Array> => {
    const path = credentialFiles[name];
    if (path === undefined) return fixed(initial);
    const parse = ([bytes = new Uint8Array()]: readonly Uint8Array[]): Uint8Array => keyFrom(path, bytes);
    return files.follow({ paths: [path], parse, kind: 'credential', name }, initial);
  };
  return {
    accessTokenKey: key('ACCESS_TOKEN_KEY', accessTokenKey),
    userTokenSecret: key('USER_TOKEN_SECRET', userToken.secret),
    ...(tls !== undefined && { tls: reloadedTls(tls, files) }),
  };
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
  return files.follow(about, readTlsMaterial(tls));
}

function readTlsMaterial(tls: TlsFiles): TlsMaterial {
  return tlsMaterialFrom(tls, tlsPaths(tls).map(readFile));
}

/** Returns the client id and the client secret, which change with their files; undefined where neither is in a file. */
export function reloadedLogin(
  store: InfisicalStoreSettings,
  { INFISICAL_CLIENT_ID: idFile, INFISICAL_CLIENT_SECRET: secretFile }: Settings['credentialFiles'],
  files: WatchedFiles,
): ReloadableCredentials | undefined {
  if (!('clientId' in store)) return undefined;
  const paths = [idFile, secretFile].filter((path) => path !== undefined);
  if (paths.length === 0) return undefined;
  const parse = (contents: readonly Uint8Array[]): UniversalAuthCredentials => {
    const texts = contents.map(textFrom);
    const empty = texts.indexOf('');
    if (empty >= 0) throw new Error(`${paths[empty]} is empty`);
    const clientId = idFile === undefined ? store.clientId : texts[0];
    const clientSecret = secretFile === undefined ? store.clientSecret : texts.at(-1);
    return { clientId: clientId ?? '', clientSecret: clientSecret ?? '' };
  };
  const { clientId, clientSecret } = store;
  const name = 'INFISICAL_CLIENT_ID, INFISICAL_CLIENT_SECRET';
  return {
    universalAuth: files.follow({ paths, parse, kind: 'credential', name }, { clientId, clientSecret }),
  };
}
