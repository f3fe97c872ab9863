import type { SettingDefinition } from './limit-setting-definitions';

/** What differs between the releases of Olares, and what its own callers may do; spread into SETTING_DEFINITIONS. */
export const OLARES_DEFINITIONS = {
  OLARES_RELEASE: {
    default: 'auto',
    description:
      'With `kubernetes`: which Olares this is, `up-to-1.12.0` or `since-1.12.1`; `auto`: found by its ClusterRoles. See docs/olares.md.',
  },
  LEFTOVER_PERMISSIONS: {
    default: 'deny',
    description:
      'With `kubernetes` on Olares 1.12.1 and later: `grant` lets the ApplicationPermissions of installed apps count that an earlier one left behind.',
  },
  PERMISSION_PROVIDER: {
    description:
      'With `kubernetes`: how apps of Olares 1.12.1 and later name this service under `permission.provider`, `<appName>/<providerName>`, or `<namespace>:<appName>/<providerName>` for those that state a namespace; unset, that grants nothing.',
  },
  STATIC_GRANTS: {
    description:
      "With `kubernetes`: what Olares' own callers may do, as YAML or JSON: a list of `serviceAccount`, `workspaces`, `operations`. See docs/grants.md.",
  },
  SYSTEM_SERVER_PROOF: {
    default: 'address',
    description:
      'With `kubernetes`: what proves a system-server, which may then name the app of a call. `address`: that of its pod; `off`: nothing, as Olares 1.12.1 and later need it. See docs/olares.md.',
  },
  PREDECESSOR_SERVICE: {
    default: 'false',
    description:
      "With `kubernetes`: `true` says that this service also stands at `infisical-service.os-protected`, the predecessor's name, where `SYSTEM_SERVER_PROOF` must be `off`.",
  },
} as const satisfies Record<string, SettingDefinition>;
