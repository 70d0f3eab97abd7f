/** A host whose daemon starts while no manager is there goes on by what it knew. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

test("names and routes go on when swarmd is started again while the manager is lost", {
  timeout: 90_000,
}, async () => {
  await using parts = new AsyncDisposableStack();
  const lab = await Lab.up({
    name: "no-manager",
    managers: 1,
    workers: 2,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  parts.defer(() => lab.down());
  const manager = lab.host("h1");
  const view = parts.use(await ClusterView.open(manager));
  await manager.run("swarmctl", ["network", "create", "net"]);
  const flags = ["--network", "net", "--replicas", "3"];
  const serve = "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 80 -h /www";
  const command = ["registry:5000/busybox:1", "sh", "-c", serve];
  await manager.run("swarmctl", ["service", "create", "--name", "web", ...flags, ...command]);
  const tasks = await view.until(
    "web to run",
    () => view.running("web").length === 3 && view.running("web"),
    20_000,
  );
  const task = tasks.find((candidate) => view.hostnameOf(candidate) === "h2");
  const remote = tasks.find((candidate) => view.hostnameOf(candidate) === "h3");
  assert(task !== undefined && remote !== undefined, "the tasks are spread over the hosts");
  const host = lab.host("h2");
  const address = remote.networks[0]?.addresses[0]?.split("/")[0] ?? "";
  const enter = ["-t", String(task.status?.container?.pid), "-m", "-n", "-u", "--"];
  const inTask = (...args: string[]) => host.exec("timeout", ["2", "nsenter", ...enter, ...args]);
  const knowsRemote = async () => {
    const named = await inTask("nslookup", "web");
    const reached = await inTask("wget", "-qO-", `http://${address}/`);
    return named.stdout.includes(address) && reached.stdout.startsWith(remote.id.slice(0, 12));
  };
  await waitFor("an answer from another host", knowsRemote, { timeoutMs: 15_000 });
  await waitFor(
    "the host to remember its networks",
    async () => (await host.exec("test", ["-s", "/var/lib/swarm/agent/assigned.bin"])).status === 0,
    { timeoutMs: 10_000 },
  );
  await manager.kill();
  await host.swarmd.kill();
  await host.startSwarmd();
  await waitFor("an answer without a manager", knowsRemote, { timeoutMs: 15_000 });
});
