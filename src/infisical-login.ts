import { textFrom } from './config/secret-source';
import type { InfisicalStoreSettings, Settings } from './config/settings';
import type { WatchedFiles } from './rotation/watched-files';
import type { RotatingCredentials } from './store/infisical/login-method';
import type { UniversalAuthCredentials } from './store/infisical/universal-auth';

/** The client id and the client secret as their files hold them by and by; nothing where neither is in a file. */
export function followedLogin(
  store: InfisicalStoreSettings,
  { INFISICAL_CLIENT_ID: idFile, INFISICAL_CLIENT_SECRET: secretFile }: Settings['credentialFiles'],
  files: WatchedFiles,
): RotatingCredentials | undefined {
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
