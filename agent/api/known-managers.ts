/**
 * Which nodes are managers, as managers have said last. A certificate that was a manager's holds for weeks after its node
 * was demoted or removed. Where nobody has said anything yet, the certificate alone counts: there may be no session, and
 * the engine is how one looks for why.
 */
export class KnownManagers {
  #ids: ReadonlySet<string> = new Set();

  /** `ids`: all of them. None: it was a manager of an older version that spoke. */
  update(ids: readonly string[]): void {
    if (ids.length > 0) this.#ids = new Set(ids);
  }

  mayBe(nodeId: string): boolean {
    return this.#ids.size === 0 || this.#ids.has(nodeId);
  }
}
