/** Parts of a request, as a trace shows them. Nothing is recorded of what they return or throw but a reason. */
export interface Spans {
  /** Outside of a request that is traced, only the work is done. */
  during<T>(name: string, work: () => Promise<T>): Promise<T>;
  around<T>(name: string, work: () => T): T;
}
