/** Who calls: an app on behalf of the user it is installed for, proven by a credential. */
export interface Caller {
  readonly app: string;
  readonly user: string;
  /**
   * What the credential was issued for, as `<Op>?workspace=<name>`, matched as whole strings;
   * 'any' where a credential carries no such list (the grants alone decide then).
   */
  readonly operations: ReadonlySet<string> | 'any';
}
