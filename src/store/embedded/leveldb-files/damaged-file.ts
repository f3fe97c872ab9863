/** A file of the database is not what LevelDB wrote. `message` names the file and what is wrong with it. */
export class DamagedFile extends Error {}

/**
 * The last record of a log is not whole, and no other begins after it: what a power cut leaves of a write, of which nothing was
 * acknowledged. Or it was whole once and has rotted since, which only zeroes in it tell apart.
 */
export class TornTail extends DamagedFile {
  constructor(
    message: string,
    /** Where that record begins: all before it is whole. */
    readonly at: number,
    /** Parts of it were never written, so that it was never whole. */
    readonly hasHoles: boolean,
    /** Path of the file, once it is known. */
    readonly path = '',
  ) {
    super(message);
  }
}
