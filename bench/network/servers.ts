/** The two servers that loads are sent to, nginx and iperf3, in networks of tasks. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import { httpPorts, iperfPort } from "./load.ts";
import type { Place } from "./task-place.ts";

const listenTimeoutMs = 10_000;

const listens = Object.values(httpPorts).map((port) => `listen ${port} backlog=4096;`);

const nginxConf = `
daemon off; master_process off; worker_processes 1; error_log /dev/null crit; pid /dev/null;
events { worker_connections 512; }
http { access_log off; keepalive_requests 100000000; server { ${listens.join(" ")} location / { return 200 "hello"; } } }
`;

/** Both in each place, until it is disposed. */
export async function serve(places: readonly Place[]): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "bench-network-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const conf = join(folder, "nginx.conf");
  await writeFile(conf, nginxConf);
  const start = (place: Place, command: string, args: readonly string[]) => {
    const child = place.start(command, args);
    const closed = once(child, "close");
    stack.defer(async () => {
      child.kill("SIGKILL");
      await closed;
    });
  };
  for (const place of places) {
    start(place, "nginx", ["-c", conf, "-p", folder]);
    start(place, "iperf3", ["-s", "-p", String(iperfPort)]);
  }
  for (const place of places) await listening(place);
  return stack.move();
}

async function listening({ run }: Place): Promise<void> {
  const all = [iperfPort, ...Object.values(httpPorts)];
  const filter = all.map((port) => `sport = :${port}`).join(" or ");
  const deadline = AbortSignal.timeout(listenTimeoutMs);
  while (!deadline.aborted) {
    const { stdout } = await run("ss", ["-Htln", filter]);
    if (stdout.trim().split("\n").length === all.length) return;
  }
  throw new Fault("deadline-exceeded", "nginx and iperf3 do not listen in a task");
}
