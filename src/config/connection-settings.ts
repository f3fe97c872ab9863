import type { Environment, EnvironmentReader } from './environment-reader';
import { proxySetting } from './proxy-setting';
import { type AuthorityFiles, readCertificates } from './trusted-authorities';

/** How Infisical is reached, beside its address. */
export interface ConnectionSettings {
  readonly authorityFiles?: AuthorityFiles;
  /** May hold the proxy's user and password. */
  readonly proxyUrl?: string;
}

/** For the service and for `infisical:setup` alike; an empty `url` is one that has a problem already. */
export function connectionSettings(
  read: EnvironmentReader,
  env: Environment,
  url: string,
): ConnectionSettings {
  const proxy = url === '' ? {} : proxySetting(env, url);
  if ('problem' in proxy) read.problem(proxy.name, proxy.problem);
  const caFile = read.text('INFISICAL_CA_FILE');
  return {
    ...('proxyUrl' in proxy && { proxyUrl: proxy.proxyUrl }),
    ...(caFile !== undefined && { authorityFiles: authorityFiles(read, caFile) }),
  };
}

function authorityFiles(read: EnvironmentReader, caFile: string): AuthorityFiles {
  try {
    readCertificates(caFile);
  } catch (error: unknown) {
    read.problem('INFISICAL_CA_FILE:', (error as Error).message);
  }
  const extraCaFile = read.text('NODE_EXTRA_CA_CERTS');
  return { caFile, ...(extraCaFile !== undefined && { extraCaFile }) };
}
