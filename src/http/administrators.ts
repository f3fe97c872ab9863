/** Whose members may act for other users on the Settings routes; nobody where no group is configured. */
export class Administrators {
  constructor(readonly group: string | undefined) {}
}
