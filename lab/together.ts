/** Runs tasks at the same time. When one fails the others are aborted, and all have ended when this rejects with its reason. */
export async function together(
  tasks: readonly ((signal: AbortSignal) => Promise<unknown>)[],
  signal?: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const guarded = tasks.map(async (task) => {
    try {
      await task(either);
    } catch (thrown) {
      failed.abort(thrown);
    }
  });
  await Promise.all(guarded);
  either.throwIfAborted();
}
