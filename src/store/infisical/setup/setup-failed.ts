/** The setup cannot go on; the message is for the operator and holds nothing that a server or a file said. */
export class SetupFailed extends Error {}
