/** Makes, mounts, fills, frees and removes volumes in the folder that is named, until it is killed. A program for tests. */
import { join } from "node:path";
import { newId } from "#proto/ids.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { systemExec } from "../../exec.ts";
import { VolumeStore } from "../volume-store.ts";

const [root = "", layer = ""] = process.argv.slice(2);
const modules = { exec: systemExec, clock: systemClock, random: systemRandom, log: silentLog };
const store = await VolumeStore.open(join(root, "volumes"), modules);
const { signal } = new AbortController();
const copy = { layers: [layer], path: "/data", scratch: join(root, "scratch"), signal };
const options = { type: "tmpfs", device: "tmpfs", o: "size=1m" };
process.stdout.write("ready\n");
for (;;) {
  const task = newId(systemRandom);
  const named = await store.claim(task, { name: `named-${systemRandom.int(3)}` });
  await store.open(named.name, copy);
  await store.open((await store.claim(task, { name: "" })).name, copy);
  await store.open((await store.claim(task, { name: "mounted", options })).name, copy);
  await store.release(task, "own");
  if (systemRandom.int(2) === 0) await store.release(task, "all");
  if (store.usersOf(named.name).length === 0) await store.remove(named.name);
}
