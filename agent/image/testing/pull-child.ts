/** For tests: a process that pulls an image and says a word at each step, so that it can be killed at any of them. */
import { writeSync } from "node:fs";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { systemExec } from "../../exec.ts";
import { systemDiskProbe } from "../disk-room.ts";
import { ImageStore } from "../image-store.ts";

const [root = "", reference = ""] = process.argv.slice(2);
const step = (word: string) => writeSync(1, `${word}\n`);

const store = await ImageStore.open(
  { root, insecureRegistries: [], platform: { os: "linux", architecture: "amd64" } },
  {
    clock: systemClock,
    log: silentLog,
    random: {
      ...systemRandom,
      bytes: (count) => {
        step("a new file or folder");
        return systemRandom.bytes(count);
      },
    },
    exec: {
      run: async (command, args, options) => {
        step(`before ${command}`);
        const result = await systemExec.run(command, args, options);
        step(`after ${command}`);
        return result;
      },
      start: (command, args, options) => {
        step(`starting ${command}`);
        return systemExec.start(command, args, options);
      },
    },
    disk: (path) => {
      step("more unpacked");
      return systemDiskProbe(path);
    },
  },
);
await store.pull(reference, {
  signal: AbortSignal.timeout(60_000),
  onProgress: ({ phase }) => step(phase),
});
step("done");
await store[Symbol.asyncDispose]();
