/** What an operator should mend although the service is ready, beside the grants: one sentence each. */
export class ServiceProblems {
  constructor(readonly sentences: () => readonly string[]) {}
}
