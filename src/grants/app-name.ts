/**
 * An app's or a user's name as we take it from a file. It becomes a part of log lines, keys and addresses,
 * so nothing that could end a word, a line or a path segment.
 */
export const APP_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;

export const APP_NAME_RULE =
  'must be 1-253 letters, digits, dots, dashes or underscores, and start with a letter or a digit';
