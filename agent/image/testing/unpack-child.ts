/** For tests: pulls an image from a registry and tells how long this process's event loop was ever held up. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { systemExec } from "../../exec.ts";
import { ImageStore } from "../image-store.ts";

const [root = "", reference = ""] = process.argv.slice(2);
const modules = { clock: systemClock, log: silentLog, random: systemRandom, exec: systemExec };
const platform = { os: "linux", architecture: "amd64" };
const store = await ImageStore.open({ root, insecureRegistries: [], platform }, modules);
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
await store.pull(reference, { signal: AbortSignal.timeout(240_000) });
delay.disable();
const ms = (ns: number) => ns / 1e6;
const p99 = ms(delay.percentile(99));
process.stdout.write(JSON.stringify({ p99, max: ms(delay.max), mean: ms(delay.mean) }));
await store[Symbol.asyncDispose]();
