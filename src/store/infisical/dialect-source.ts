import { DIALECTS, type Dialect, type DialectName } from './dialect';

/** Knows which generation of Infisical answers. */
export interface DialectSource {
  /** As far as it was found out already. */
  known(): Dialect | undefined;
  /** @throws InfisicalCallFailed where it has to be found out and cannot */
  current(): Promise<Dialect>;
  /**
   * After an answer that does not fit `doubted`: the dialect to go on with, the same where there is no other.
   * @throws InfisicalCallFailed
   */
  reconsidered(doubted: Dialect): Promise<Dialect>;
}

/** Told by whoever opened the store, and never doubted. */
export function givenDialect(name: DialectName): DialectSource {
  const dialect = DIALECTS[name];
  const always = () => Promise.resolve(dialect);
  return { known: () => dialect, current: always, reconsidered: always };
}
