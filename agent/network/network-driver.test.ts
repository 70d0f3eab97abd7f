/** The data plane in real kernels: three hosts, their LAN and their tasks in namespaces. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import type { NetworkEndpoint } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import { nodeMac } from "./devices.ts";
import { forgedVxlan } from "./testing/forged-vxlan.ts";
import {
  attachmentsOf,
  endpointsOf,
  Ground,
  type Host,
  network,
  outside,
  type TaskSpec,
} from "./testing/ground.ts";

const front = network("front", "10.77.1.0/24");
const back = network("back", "10.77.2.0/24");
const closed = network("closed", "10.77.3.0/24", { internal: true });

const id = (name: string) => name.padEnd(25, "0");

function task(name: string, service: string, addresses: TaskSpec["addresses"]): TaskSpec {
  return { id: id(name), name: `${service}.${name}`, service, addresses };
}

const on = (net: Network, address: string) => ({ network: net, address });

const web1 = task("web1", "web", [on(front, "10.77.1.11")]);
const web2 = task("web2", "web", [on(front, "10.77.1.12")]);
const web3 = task("web3", "web", [on(front, "10.77.1.13")]);
const client = task("client", "client", [on(front, "10.77.1.20")]);
const db = task("db", "db", [on(back, "10.77.2.11")]);
const both = task("both", "both", [on(front, "10.77.1.30"), on(back, "10.77.2.30")]);
const vault = task("vault", "vault", [on(closed, "10.77.3.11")]);
const vault2 = task("vault2", "vault", [on(closed, "10.77.3.12")]);

/** Which host has which task; the test moves one. */
const places = new Map<TaskSpec, number>([
  [web1, 1],
  [web2, 2],
  [web3, 3],
  [client, 1],
  [db, 1],
  [both, 2],
  [vault, 1],
  [vault2, 2],
]);
const networks = [front, back, closed];

describe("NetworkDriver on three hosts", { concurrency: false }, () => {
  let ground: Ground;

  const host = (number: number): Host => {
    const found = ground.hosts[number - 1];
    assert(found !== undefined);
    return found;
  };
  const hostOf = (spec: TaskSpec) => host(places.get(spec) ?? 0);
  const endpoints = (): readonly NetworkEndpoint[] =>
    [...places.keys()].flatMap((spec) => endpointsOf(spec, hostOf(spec)));
  const applyAll = async () => {
    for (const each of ground.hosts) {
      await each.call({ kind: "apply", state: ground.state(each, networks, endpoints()) });
    }
  };
  const attach = (specs: readonly TaskSpec[], target: Host) =>
    target.call({
      kind: "attach",
      tasks: specs.map((spec) => ({ id: spec.id, attachments: attachmentsOf(spec) })),
    });
  const inTask = (spec: TaskSpec, command: string, ...args: string[]) =>
    hostOf(spec).inTask(spec.id, command, args);
  const serve = (spec: TaskSpec): ChildProcess =>
    hostOf(spec).startInTask(spec.id, "busybox", [
      "nc",
      "-ll",
      "-p",
      "80",
      "-e",
      "echo",
      spec.name,
    ]);
  const ask = async (spec: TaskSpec, address: string) =>
    (await inTask(spec, "busybox", "nc", "-w", "3", address, "80")).stdout.trim();
  const ping = (spec: TaskSpec, address: string, ...more: string[]) =>
    inTask(spec, "busybox", "ping", "-c", "1", "-W", "1", ...more, address);
  const refused = async (spec: TaskSpec, address: string) => {
    const start = performance.now();
    await assert.rejects(
      inTask(spec, "busybox", "nc", "-w", "3", address, "80"),
      /No route to host|Network is unreachable|Connection refused/,
    );
    // The kernel repeats an unanswered SYN after a second: so late a refusal is none "at once".
    assert(performance.now() - start < 900, `${spec.name} waited for ${address}`);
  };

  before(async () => {
    ground = await Ground.open(3);
    await applyAll();
    for (const each of ground.hosts) {
      await attach(
        [...places.keys()].filter((spec) => hostOf(spec) === each),
        each,
      );
    }
    for (const spec of places.keys()) serve(spec);
    await Promise.all([...places.keys()].map((spec) => listening(hostOf(spec), spec.id)));
  });
  after(async () => {
    await ground?.[Symbol.asyncDispose]();
  });

  test("tasks of a network reach each other, on one host and across hosts", async () => {
    assert.equal(await ask(client, "10.77.1.11"), "web.web1");
    assert.equal(await ask(client, "10.77.1.12"), "web.web2");
    assert.equal(await ask(web3, "10.77.1.11"), "web.web1");
    assert.equal(await ask(vault, "10.77.3.12"), "vault.vault2");
  });

  test("tasks of different networks are refused at once", async () => {
    await refused(client, "10.77.2.11");
    await refused(web3, "10.77.2.11");
    await refused(db, "10.77.1.12");
  });

  test("a task on two networks reaches and is reached on both", async () => {
    assert.equal(await ask(both, "10.77.2.11"), "db.db");
    assert.equal(await ask(db, "10.77.2.30"), "both.both");
    assert.equal(await ask(client, "10.77.1.30"), "both.both");
  });

  test("egress is masqueraded as the host, an internal network has none", async () => {
    assert.equal(await ask(client, outside), "172.31.99.1");
    assert.equal(await ask(web3, outside), "172.31.99.3");
    await refused(vault, outside);
    await refused(vault, "172.31.99.1");
  });

  test("an unknown address of the subnet is refused at once, and nothing is flooded", async () => {
    await refused(client, "10.77.1.200");
    const { stdout } = await host(1).namespace.run("bridge", [
      "-j",
      "fdb",
      "show",
      "dev",
      "sw-vx0",
    ]);
    const entries = (JSON.parse(stdout) as { mac: string; dst: string }[]).map(
      ({ mac, dst }) => `${mac} ${dst}`,
    );
    assert.deepEqual(entries.toSorted(), [
      `${nodeMac(2)} 172.31.99.2`,
      `${nodeMac(3)} 172.31.99.3`,
    ]);
  });

  test("spoofed sources do not arrive, the task's own does", async () => {
    const count = await counter(web2, "icmp type echo-request");
    await ping(client, "10.77.1.12");
    assert.equal(await count(), 1);
    const spoofs = ["10.77.1.99", "10.77.1.11", "10.77.2.11"].map(async (spoofed) => {
      await inTask(client, "ip", "addr", "add", `${spoofed}/32`, "dev", "eth0");
      await assert.rejects(ping(client, "10.77.1.12", "-I", spoofed));
      await inTask(client, "ip", "addr", "del", `${spoofed}/32`, "dev", "eth0");
    });
    await Promise.all(spoofs);
    assert.equal(await count(), 1);
  });

  test("forged VXLAN from a task, the LAN or a host's process is dropped", async () => {
    const count = await counter(web2, "udp dport 7777");
    const bytes = forgedVxlan({
      vni: 4096,
      mac: nodeMac(2),
      source: "10.77.1.11",
      destination: "10.77.1.12",
      port: 7777,
    });
    const send = ["-c", "exec 3<>/dev/udp/172.31.99.2/4789; cat >&3"];
    await host(1).inTask(client.id, "bash", send, bytes);
    await ground.lan.run("bash", send, { input: bytes });
    await assert.rejects(
      host(1).namespace.run("bash", send, { input: bytes }),
      /Operation not permitted/,
    );
    await ping(client, "10.77.1.12");
    assert.equal(await count(), 0);
    // The control: the same bytes, marked as the VXLAN device marks its own.
    const mark =
      "table inet control { chain out { type filter hook output priority -400; udp dport 4789 meta mark set 0x20; }; }";
    await host(1).namespace.run("nft", ["-f", "-"], { input: mark });
    await host(1).namespace.run("bash", send, { input: bytes });
    await host(1).namespace.run("nft", ["delete", "table", "inet", "control"]);
    await ping(client, "10.77.1.12");
    assert.equal(await count(), 1);
  });

  test("a LAN host can neither route into a network nor ask its nameserver", async () => {
    await ground.lan.run("ip", ["route", "add", "10.77.1.0/24", "via", "172.31.99.1"]);
    await assert.rejects(ground.lan.run("busybox", ["nc", "-w", "1", "10.77.1.11", "80"]));
    await assert.rejects(
      ground.lan.run("busybox", ["nslookup", "web", "10.77.1.1"], { timeoutMs: 1_000 }),
    );
    await ground.lan.run("ip", ["route", "del", "10.77.1.0/24"]);
  });

  test("names resolve across hosts for the network that is asked, and are forwarded otherwise", async () => {
    for (const spec of [client, vault]) {
      const gateway = spec === client ? "10.77.1.1" : "10.77.3.1";
      await hostOf(spec).namespace.run("tee", [`/run/${spec.name}`], {
        input: `nameserver ${gateway}\n`,
      });
    }
    const resolve = async (spec: TaskSpec, name: string) => {
      const script = `mount --bind /run/${spec.name} /etc/resolv.conf && exec getent ahostsv4 ${name}`;
      const { stdout } = await inTask(spec, "unshare", "--mount", "sh", "-c", script);
      const addresses = stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" ", 1).join());
      return [...new Set(addresses)].toSorted();
    };
    const webs = ["10.77.1.11", "10.77.1.12", "10.77.1.13"];
    assert.deepEqual(await resolve(client, "web"), webs);
    assert.deepEqual(await resolve(client, "tasks.web"), webs);
    assert.deepEqual(await resolve(client, "web.web3"), ["10.77.1.13"]);
    assert.deepEqual(await resolve(client, "outside.test"), ["192.0.2.7"]);
    await assert.rejects(resolve(client, "db"));
    assert.deepEqual(await resolve(vault, "vault"), ["10.77.3.11", "10.77.3.12"]);
    await assert.rejects(resolve(vault, "outside.test"));
  });

  test("apply() of what stands runs nothing, in this life and after a restart", async () => {
    const state = ground.state(host(1), networks, endpoints());
    assert.deepEqual((await host(1).call({ kind: "apply", state })).programs, []);
  });

  test("a killed agent leaves flows alone, and its successor takes over without a change", async () => {
    const echo = hostOf(web2).startInTask(web2.id, "busybox", [
      "nc",
      "-ll",
      "-p",
      "81",
      "-e",
      "cat",
    ]);
    await listening(hostOf(web2), web2.id, 81);
    const stream = hostOf(client).startInTask(client.id, "busybox", ["nc", "10.77.1.12", "81"]);
    assert.equal(await exchange(stream, "before"), "before");
    await host(1).killAgent();
    assert.equal(await exchange(stream, "without"), "without");
    await host(1).startAgent();
    const state = ground.state(host(1), networks, endpoints());
    const { programs } = await host(1).call({ kind: "apply", state });
    assert.deepEqual(
      programs.filter((line) => !/ -j | show | list /.test(line)),
      [],
    );
    const mine = [web1, client, db, vault];
    const listed = (await host(1).call({ kind: "list" })).value as string[];
    assert.deepEqual(listed.sort(), mine.map((spec) => spec.id).sort());
    await attach(mine, host(1));
    assert.equal(await exchange(stream, "after"), "after");
    assert.equal(await ask(web3, "10.77.1.11"), "web.web1");
    await stop(stream, echo);
  });

  test("repair() puts back what a stranger removed", async () => {
    const { namespace } = host(1);
    await namespace.run("nft", ["flush", "ruleset"]);
    await namespace.run("ip", ["link", "del", "sw-vx0"]);
    await namespace.run("ip", ["addr", "del", "10.77.1.1/32", "dev", "lo"]);
    await host(1).call({ kind: "repair" });
    await refused(client, "10.77.2.11");
    assert.equal(await ask(client, "10.77.1.12"), "web.web2");
    assert.equal(await ask(client, outside), "172.31.99.1");
  });

  test("a task that moves keeps its address and is found at its new place", async () => {
    await host(1).call({ kind: "detach", taskIds: [web1.id] });
    places.set(web1, 3);
    await attach([web1], host(3));
    await applyAll();
    serve(web1);
    await listening(host(3), web1.id);
    assert.equal(await ask(client, "10.77.1.11"), "web.web1");
    assert.equal(await ask(web2, "10.77.1.11"), "web.web1");
    assert.equal(await ask(web3, "10.77.1.11"), "web.web1");
  });

  test("a network that is not wanted any more stays until its last task is detached", async () => {
    const without = () =>
      host(1).call({
        kind: "apply",
        state: ground.state(
          host(1),
          [front, closed],
          endpoints().filter((e) => e.networkId !== "back"),
        ),
      });
    await without();
    assert.equal(await ask(db, "10.77.2.30"), "both.both");
    await host(1).call({ kind: "detach", taskIds: [db.id] });
    assert.doesNotMatch(await everything(host(1)), /10\.77\.2\./);
    places.delete(db);
    await applyAll();
  });

  test("a network that this host cannot carry is refused, the others are carried", async () => {
    const twice = network("twice", "10.77.1.0/24");
    const state = ground.state(host(1), [...networks, twice], endpoints());
    const answer = await host(1).tryCall({ kind: "apply", state });
    assert.equal(answer.kind === "failed" ? answer.code : "done", "failed-precondition");
    assert.equal(await ask(client, "10.77.1.12"), "web.web2");
  });

  test("an attach that fails leaves nothing of the task, and no harm to those beside it", async () => {
    const fine = task("fine", "fine", [on(front, "10.77.1.40")]);
    const taken = task("taken", "taken", [on(front, "10.77.1.41")]);
    // In the way of its link.
    await host(1).namespace.run("ip", ["link", "add", "swv-taken000000", "type", "veth"]);
    const failing = await host(1).tryCall({
      kind: "attach",
      tasks: [fine, taken].map((spec) => ({ id: spec.id, attachments: attachmentsOf(spec) })),
    });
    assert.equal(failing.kind, "failed");
    const listed = (await host(1).call({ kind: "list" })).value as string[];
    assert(listed.includes(fine.id));
    assert(!listed.includes(taken.id));
    await host(1).namespace.run("ip", ["link", "del", "swv-taken000000"]);
    await host(1).call({ kind: "detach", taskIds: [fine.id, taken.id] });
  });

  test("an attach to a network that the host does not know yet may be tried again", async () => {
    const early = task("early", "early", [on(network("new", "10.77.9.0/24"), "10.77.9.2")]);
    const answer = await host(1).tryCall({
      kind: "attach",
      tasks: [{ id: early.id, attachments: attachmentsOf(early) }],
    });
    assert.equal(answer.kind === "failed" ? answer.code : "done", "unavailable");
  });

  test("a task without networks has a namespace with its loopback up", async () => {
    const lonely = task("lonely", "lonely", []);
    await attach([lonely], host(1));
    await host(1).inTask(lonely.id, "busybox", ["ping", "-c", "1", "127.0.0.1"]);
    await host(1).call({ kind: "detach", taskIds: [lonely.id] });
  });

  test("fifty tasks that wait together cost a few programs, to attach and to detach", async () => {
    const many = Array.from({ length: 50 }, (_, index) =>
      task(`m${index}x`, "many", [on(front, `10.77.1.${100 + index}`)]),
    );
    const attached = await attach(many, host(1));
    assert(attached.programs.length <= 5, attached.programs.join(" "));
    const taskIds = many.map((spec) => spec.id);
    const detached = await host(1).call({ kind: "detach", taskIds });
    assert(detached.programs.length <= 3, detached.programs.join(" "));
  });

  test("cleanup() leaves nothing", async () => {
    for (const each of ground.hosts) {
      await each.call({ kind: "cleanup" });
      const left = await everything(each);
      assert.doesNotMatch(left, /10\.77\.|sw-vx0|swv-|swarm|02:6e/);
    }
  });

  /** Counts what arrives in a task; beside its own traffic. */
  async function counter(spec: TaskSpec, match: string): Promise<() => Promise<number>> {
    const rules = `table inet count\ndelete table inet count\ntable inet count { chain in { type filter hook prerouting priority -500; ${match} counter; }; }\n`;
    await hostOf(spec).inTask(spec.id, "nft", ["-f", "-"], Buffer.from(rules));
    return async () => {
      const { stdout } = await inTask(spec, "nft", "list", "table", "inet", "count");
      return Number(/packets (\d+)/.exec(stdout)?.[1]);
    };
  }
});

async function everything({ namespace }: Host): Promise<string> {
  const outputs = await Promise.all([
    namespace.run("ip", ["-d", "addr"]),
    namespace.run("ip", ["route", "show", "table", "all"]),
    namespace.run("ip", ["neigh"]),
    namespace.run("bridge", ["fdb"]),
    namespace.run("nft", ["list", "ruleset"]),
    namespace.run("ls", ["/run/netns"]),
  ]);
  return outputs.map(({ stdout }) => stdout).join("\n");
}

/** The kernel tells when somebody listens: no packet is sent for it. */
async function listening(host: Host, taskId: string, port = 80): Promise<void> {
  const signal = AbortSignal.timeout(5_000);
  while (!signal.aborted) {
    const { stdout } = await host.inTask(taskId, "ss", ["-Htln", `sport = :${port}`]);
    if (stdout !== "") return;
  }
  assert.fail(`nobody listens on port ${port} of ${taskId}`);
}

async function exchange(stream: ChildProcess, line: string): Promise<string> {
  assert(stream.stdin !== null && stream.stdout !== null);
  const answered = once(stream.stdout, "data", { signal: AbortSignal.timeout(3_000) });
  stream.stdin.write(`${line}\n`);
  const [data] = await answered;
  return String(data).trim();
}

async function stop(...children: readonly ChildProcess[]): Promise<void> {
  const closed = children.map((child) => once(child, "close"));
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(closed);
}
