import type { ConnectionSettings } from '../config/connection-settings';
import type { SettingName } from '../config/setting-definitions';
import {
  type AuthorityFiles,
  certificatesFrom,
  otherAuthorities,
  readCertificates,
} from '../config/tls-settings';
import { type Reloadable, fixed } from '../reloadable/reloadable';
import type { WatchedFiles } from '../reloadable/watched-files';
import type { RouteOptions } from '../stores/infisical/transport/transport-route';

/**
 * Returns the settings in the form that the adapter takes.
 * @param files where absent, a changed CA file has no effect
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

/** Returns the authorities of the file that the setting names, and all others that are trusted. */
export function trustedAuthorities(
  name: SettingName,
  authorityFiles: AuthorityFiles,
  files: WatchedFiles | undefined,
): Reloadable<readonly string[]> {
  const { caFile } = authorityFiles;
  const others = otherAuthorities(authorityFiles);
  const initial = [...others, ...readCertificates(caFile)];
  if (files === undefined) return fixed(initial);
  const parse = ([bytes = new Uint8Array()]: readonly Uint8Array[]): readonly string[] => [
    ...others,
    ...certificatesFrom(caFile, bytes),
  ];
  return files.follow({ paths: [caFile], parse, kind: 'credential', name }, initial);
}
