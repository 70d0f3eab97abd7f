import { test } from "node:test";
import { checkLeaks, leaksSeed } from "./check-leaks.ts";

test(
  `leaks, nothing is left after 500 events (LEAKS_SEED=${leaksSeed})`,
  {
    timeout: 600_000,
  },
  (t) => checkLeaks(t, 500),
);
