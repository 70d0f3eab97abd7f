import { test } from "node:test";
import { checkLeaks, leaksSeed } from "./check-leaks.ts";

test(
  `leaks, nothing is left after 60 events (LEAKS_SEED=${leaksSeed})`,
  {
    timeout: 120_000,
  },
  (t) => checkLeaks(t, 60),
);
