import type { ConnectionSettings } from './config/connection-settings';
import { TrustedAuthorities } from './config/trusted-authorities';
import type { RouteOptions } from './store/infisical/wire-route';

/** The settings as the adapter takes them. `tell` hears of a CA file that became unusable. @throws Error if it is so now */
export function infisicalConnection(
  { authorityFiles, proxyUrl }: ConnectionSettings,
  tell: (problem: string) => void,
): Pick<RouteOptions, 'authorities' | 'proxyUrl'> {
  const authorities = authorityFiles && new TrustedAuthorities(authorityFiles, tell);
  return {
    ...(authorities !== undefined && { authorities: () => authorities.current() }),
    ...(proxyUrl !== undefined && { proxyUrl }),
  };
}
