/**
 * A node in a process of its own, with one container that writes as fast as it can and one that is quiet, followed by a
 * reader each. Prints what it cost as one line of JSON. Arguments: for how many seconds.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { create } from "@bufbuild/protobuf";
import { LogOptionsSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { DriverSchema, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { TestNode } from "../../task/testing/test-node.ts";

const [seconds = "3"] = process.argv.slice(2);

await using node = new TestNode();
await node.open();
const busy = node.task({ args: ["busybox", "yes", "x".repeat(80)], stopSignal: "KILL" });
const options = { "max-size": "1m", "max-file": "3" };
if (busy.spec !== undefined) busy.spec.logDriver = create(DriverSchema, { name: "local", options });
const quiet = node.task({
  args: ["sh", "-c", "while :; do echo tick; sleep 0.1; done"],
  stopSignal: "KILL",
});
node.worker.assign([busy, quiet]);
await Promise.all([busy, quiet].map(({ id }) => node.untilState(id, TaskState.RUNNING)));

const stopping = new AbortController();
const counts = { busy: 0, dropped: 0, quiet: 0 };
const follow = create(LogOptionsSchema, { follow: true });
const read = async (name: "busy" | "quiet", taskId: string, pauseMs: number) => {
  for await (const messages of node.worker.logs(taskId, follow, stopping.signal)) {
    for (const { dropped } of messages) counts[dropped ? "dropped" : name] += 1;
    // A reader who is slower than the writer.
    if (pauseMs > 0) await systemClock.sleep(pauseMs);
  }
};
const delay = monitorEventLoopDelay({ resolution: 10 });
const before = process.memoryUsage().rss;
let peak = before;
let diskBytes = 0;
delay.enable();
const reading = [read("busy", busy.id, 20), read("quiet", quiet.id, 0)];
const folder = join(node.root, "agent", "tasks", busy.id);
for (let i = 0; i < Number(seconds) * 20; i++) {
  await systemClock.sleep(50);
  peak = Math.max(peak, process.memoryUsage().rss);
  const files = readdirSync(folder).filter((name) => name.startsWith("log"));
  const inodes = new Map(
    files.flatMap((name) => {
      const stats = statSync(join(folder, name), { throwIfNoEntry: false });
      return stats === undefined ? [] : [[stats.ino, stats.size] as const];
    }),
  );
  diskBytes = Math.max(
    diskBytes,
    inodes.values().reduce((sum, size) => sum + size, 0),
  );
}
delay.disable();
stopping.abort();
await Promise.all(reading);
process.stdout.write(
  `${JSON.stringify({ ...counts, grownBytes: peak - before, diskBytes, p99Ms: delay.percentile(99) / 1e6 })}\n`,
);
