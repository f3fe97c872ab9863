/** A file of the database is not what LevelDB wrote. `message` names the file and what is wrong with it. */
export class DamagedFile extends Error {}
