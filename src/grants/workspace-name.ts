/** A workspace's name; no `/`, so it cannot leave a path segment, and it never starts with a dot. */
export const WORKSPACE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export const WORKSPACE_RULE =
  'must be 1-63 letters, digits, dots, dashes or underscores, and start with a letter or a digit';
