import { openVault } from '../../src/cli/connection';
import { UsageError } from '../../src/errors/operator-errors';

const TOKEN_FILE = 'OLARES_SECRETS_TOKEN_FILE';

describe('the address of the service', () => {
  beforeEach(() => (process.env[TOKEN_FILE] = '/none'));
  afterEach(() => delete process.env[TOKEN_FILE]);

  it.each(['http://h:8080?', 'http://h:8080#', 'http://h:8080 ', 'http://k:s@h', 'h:8080', 'ftp://h'])(
    'is refused where calls would be sent to another one: "%s"',
    async (url) => {
      const opened = openVault({ url, workspace: 'ws', env: 'prod' });
      await expect(opened).rejects.toThrow(UsageError);
    },
  );
});
