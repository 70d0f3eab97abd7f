/** A host whose daemon starts while no manager is there goes on by what it knew, also of services and their ports. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAssigned } from "#agent/assigned-file.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

test("names, virtual addresses, ports and routes go on when swarmd is started again while the manager is lost", {
  timeout: 150_000,
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
  // What runs there is lost with the manager.
  await manager.run("swarmctl", ["node", "update", "--availability", "drain", "h1"]);
  const ports = ["--publish", "8080:80", "--publish", "published=8081,target=80,mode=host"];
  const flags = ["--network", "net", "--replicas", "2", ...ports];
  const serve = "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 80 -h /www";
  const command = ["registry:5000/busybox:1", "sh", "-c", serve];
  await manager.run("swarmctl", ["service", "create", "--name", "web", ...flags, ...command]);
  const tasks = await view.until(
    "web to run",
    () => view.running("web").length === 2 && view.running("web"),
    20_000,
  );
  const task = tasks.find((candidate) => view.hostnameOf(candidate) === "h2");
  const remote = tasks.find((candidate) => view.hostnameOf(candidate) === "h3");
  assert(task !== undefined && remote !== undefined, "the tasks are spread over the hosts");
  const host = lab.host("h2");
  const address = remote.networks[0]?.addresses[0]?.split("/")[0] ?? "";
  const enter = ["-t", String(task.status?.container?.pid), "-m", "-n", "-u", "--"];
  const inTask = (...args: string[]) => host.exec("timeout", ["2", "nsenter", ...enter, ...args]);
  const hostnameOf = (one: typeof task) => one.id.slice(0, 12);
  const virtualIp = view.service("web")?.endpoint?.virtualIps[0]?.address.split("/")[0] ?? "";
  const knowsRemote = async () => {
    const named = await inTask("nslookup", "tasks.web");
    const reached = await inTask("wget", "-qO-", `http://${address}/`);
    return named.stdout.includes(address) && reached.stdout.startsWith(hostnameOf(remote));
  };
  const ask = async (from: Host, port: number) => {
    const answer = await from.exec("curl", ["-s", "-m", "2", `http://${host.address}:${port}/`]);
    return answer.stdout.trim();
  };
  /** Sooner or later each task answers for the service: by its name, and at its port on this host. */
  const servesAll = async () => {
    const named = await inTask("nslookup", "web");
    if (!named.stdout.includes(virtualIp)) return false;
    const ofName = new Set<string>();
    const ofPort = new Set<string>();
    for (let count = 0; count < 30 && ofName.size + ofPort.size < 4; count++) {
      ofName.add((await inTask("wget", "-qO-", "http://web/")).stdout.trim());
      ofPort.add(await ask(lab.host("h3"), 8080));
    }
    const all = new Set(tasks.map(hostnameOf));
    return [ofName, ofPort].every((one) => [...all].every((name) => one.has(name)));
  };
  const servesOwn = async () => (await ask(lab.host("h3"), 8081)) === hostnameOf(task);
  await waitFor("an answer from another host", knowsRemote, { timeoutMs: 15_000 });
  await waitFor("the service's answers", servesAll, { timeoutMs: 15_000 });
  await waitFor("the answer at the host's own port", servesOwn, { timeoutMs: 15_000 });
  const remembers = async () => {
    const file = await host.exec("base64", ["/var/lib/swarm/agent/assigned.bin"]);
    if (file.status !== 0) return false;
    const { endpoints } = parseAssigned(Buffer.from(file.stdout, "base64"));
    return [...endpoints.values()].filter(({ serving }) => serving).length === tasks.length;
  };
  await waitFor("the host to remember its networks", remembers, { timeoutMs: 10_000 });
  await manager.kill();
  await host.swarmd.kill();
  // What the kernel has is no help: all of it must come from what swarmd remembers.
  await host.run("nft", ["flush", "ruleset"]);
  await host.startSwarmd();
  await waitFor("an answer without a manager", knowsRemote, { timeoutMs: 15_000 });
  await waitFor("the service's answers without a manager", servesAll, { timeoutMs: 15_000 });
  await waitFor("the host's own port without a manager", servesOwn, { timeoutMs: 15_000 });
});
