import type { ConnectionBounds } from '../../src/http/server/accepted-connections';

/** For tests in which thousands of strangers come from a few addresses, or time stands still. */
export const UNLIMITED_CONNECTIONS: ConnectionBounds = {
  ofAddress: { burst: 1e6, perSecond: 1e6 },
  ofCallers: { burst: 1e6, perSecond: 1e6 },
  perSecondTogether: 1e9,
  sockets: { burst: 1e6, perSecond: 1e6 },
};
