/** Who calls: an app on behalf of the user it is installed for, proven by a credential. */
export interface Caller {
  readonly app: string;
  readonly user: string;
  /**
   * The operations that the credential was issued for, as `<Op>?workspace=<name>`, matched as whole strings;
   * 'any' where the credential carries no such list, so that the grants alone decide.
   */
  readonly operations: ReadonlySet<string> | 'any';
}
