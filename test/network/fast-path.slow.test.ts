/** All checks of the data plane once more, with the fast path on every host. */
import { after } from "node:test";
import { useFastPath } from "#agent/network/fastpath/testing/compile.ts";

const fastPath = await useFastPath();
after(() => fastPath[Symbol.asyncDispose]());

// Each file's suite runs when the one before has ended.
await import("./overlay.test.ts");
await import("./attacks.test.ts");
await import("./vip.test.ts");
await import("./published.test.ts");
await import("./mtu.test.ts");
await import("./dns.test.ts");
await import("./encryption.test.ts");
await import("./ipv6.test.ts");
await import("./matrix.test.ts");
await import("./drift.test.ts");
