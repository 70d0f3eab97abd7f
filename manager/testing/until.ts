/** Waiting for the store to be in some state: by its commits, with a deadline. */
import type { Store, View } from "../store/store.ts";

export function untilStore(
  store: Store,
  condition: (view: View) => boolean,
  deadlineMs = 5_000,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const check = () => {
      if (!condition(store)) return;
      clearTimeout(timeout);
      watch[Symbol.dispose]();
      resolve();
    };
    const watch = store.watch(check);
    const timeout = setTimeout(() => {
      watch[Symbol.dispose]();
      reject(new Error(`the store was not so after ${deadlineMs} ms: ${String(condition)}`));
    }, deadlineMs);
    check();
  });
}
