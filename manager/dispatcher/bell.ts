/** Tells one waiter that there is something to do. Rings that nobody waits for are kept, as one. */
export class Bell {
  #rung = false;
  #waiter: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#waiter?.();
  }

  /** Resolves at the first ring since the last wait; rejects with the signal's reason when aborted first. */
  async wait(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#rung) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const onAbort = () => reject(signal.reason);
      this.#waiter = resolve;
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        await promise;
      } finally {
        signal.removeEventListener("abort", onAbort);
        this.#waiter = undefined;
      }
    }
    this.#rung = false;
  }
}
