import { keyFrom, readFile } from './config/secret-source';
import type { SecretSettingName } from './config/setting-definitions';
import type { Settings } from './config/settings';
import { tlsMaterialFrom, type TlsFiles, type TlsMaterial, tlsPaths } from './config/tls-material';
import { type Rotating, unchanging } from './rotation/rotating';
import type { WatchedFiles } from './rotation/watched-files';

/** Ours, as opposed to those of the store: what callers are believed by, and what they believe us by. */
export interface Credentials {
  readonly accessTokenKey: Rotating<Uint8Array>;
  readonly userTokenSecret: Rotating<Uint8Array>;
  /** Where callers speak TLS. */
  readonly tls?: Rotating<TlsMaterial>;
}

/** As the settings hold them, for ever. */
export function givenCredentials({ accessTokenKey, userToken, tls }: Settings): Credentials {
  return {
    accessTokenKey: unchanging(accessTokenKey),
    userTokenSecret: unchanging(userToken.secret),
    ...(tls !== undefined && { tls: unchanging(readTlsMaterial(tls)) }),
  };
}

/** Those that were given as files follow their files. */
export function followedCredentials(settings: Settings, files: WatchedFiles): Credentials {
  const { accessTokenKey, userToken, tls, credentialFiles } = settings;
  const key = (name: SecretSettingName, initial: Uint8Array): Rotating<Uint8Array> => {
    const path = credentialFiles[name];
    if (path === undefined) return unchanging(initial);
    const parse = ([bytes = new Uint8Array()]: readonly Uint8Array[]): Uint8Array => keyFrom(path, bytes);
    return files.follow({ paths: [path], parse, kind: 'credential', name }, initial);
  };
  return {
    accessTokenKey: key('ACCESS_TOKEN_KEY', accessTokenKey),
    userTokenSecret: key('USER_TOKEN_SECRET', userToken.secret),
    ...(tls !== undefined && { tls: followedTls(tls, files) }),
  };
}

function followedTls(tls: TlsFiles, files: WatchedFiles): Rotating<TlsMaterial> {
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
