import type { SettingDefinition } from './setting-definitions';

/** The variables that bound what is kept, as setting-definitions.ts takes them in. */
export const QUOTA_DEFINITIONS = {
  QUOTA_WORKSPACE_SECRETS: {
    default: '1000',
    description:
      'How many secrets a workspace may hold in each environment; writes beyond it are refused with 507, `0`: any number. See docs/protection.md.',
  },
  QUOTA_WORKSPACE_MIB: {
    default: '4',
    description: 'How much their names and values may take together, in MiB; `0`: any amount.',
  },
  QUOTA_USER_SECRETS: {
    default: '10000',
    description: 'How many secrets a user may hold in all workspaces and environments; `0`: any number.',
  },
  QUOTA_USER_MIB: {
    default: '64',
    description: 'How much they may take together, in MiB; `0`: any amount.',
  },
} as const satisfies Record<string, SettingDefinition>;
