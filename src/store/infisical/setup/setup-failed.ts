/** The setup cannot go on; the message is for the operator, and what it holds of a server's words can be no secret. */
export class SetupFailed extends Error {}

/** The server was bootstrapped, which can be done once, and what comes after that failed: exit code 3. */
export class BootstrapUnfinished extends SetupFailed {}
