/** Redis, which replicas share; spread into SETTING_DEFINITIONS. */
export const REDIS_SETTING_DEFINITIONS = {
  REDIS_URL: {
    secret: true,
    description:
      'Redis that all replicas share, `redis://user:password@host:6379/0`, or `rediss://` for TLS; unset, there is none. See docs/redis.md.',
  },
  REDIS_CA_FILE: {
    description: 'PEM file of certificate authorities that Redis may have too, beside the public ones.',
  },
  REDIS_KEY_PREFIX: {
    default: 'osp:',
    description: 'What the names of keys and of the channel begin with, where Redis serves others too.',
  },
  REDIS_SENTINEL_HOSTS: {
    description:
      "Sentinels as `host:port`, separated by commas; set, they tell the primary's address, and `REDIS_URL` its user, password and database.",
  },
  REDIS_SENTINEL_MASTER_NAME: { default: 'mymaster', description: 'What the Sentinels call the primary.' },
  REDIS_SENTINEL_USERNAME: { description: 'User at the Sentinels, where they want one.' },
  REDIS_SENTINEL_PASSWORD: { secret: true, description: 'Password at the Sentinels.' },
  REDIS_SENTINEL_ENABLE_TLS: { default: 'false', description: '`true`: the Sentinels speak TLS.' },
} as const;
