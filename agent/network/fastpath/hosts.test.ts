/** The fast path in real kernels: two hosts in namespaces, swarmd's lives and deaths on them, and attempts at stale places. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  attachmentsOf,
  endpointsOf,
  Ground,
  type Host,
  network,
  type TaskSpec,
} from "../testing/ground.ts";
import type { PartedMap } from "../parted-map.ts";
import { encodeKey, parseDump } from "./places.ts";
import { useFastPath } from "./testing/compile.ts";

const pins = "/sys/fs/bpf/swarm";

const front = network("front", "10.77.1.0/24");

/** One subnet, whole and cut in two: the addresses of the first are the others' afterwards. */
const whole = network("whole", "10.77.8.0/24");
const low = network("low", "10.77.8.0/25");
const high = network("high", "10.77.8.128/25");
for (const config of high.ipam?.configs ?? []) config.gateway = "10.77.8.129";

function task(name: string, net: Network, address: string): TaskSpec {
  const id = name.padEnd(25, "0");
  return { id, name, service: name, addresses: [{ network: net, address }] };
}

const client = task("client", front, "10.77.1.11");
const web = task("web", front, "10.77.1.12");

describe("FastPath on two hosts", { concurrency: false }, () => {
  const stack = new AsyncDisposableStack();
  let ground: Ground;
  let fastPath: AsyncDisposable;
  let places = new Map<TaskSpec, Host>();
  const streams = new Set<ChildProcess>();

  const host = (number: number): Host => {
    const found = ground.hosts[number - 1];
    assert(found !== undefined);
    return found;
  };
  const hostOf = (spec: TaskSpec): Host => {
    const found = places.get(spec);
    assert(found !== undefined, `${spec.name} is nowhere`);
    return found;
  };
  const apply = async (target: Host) => {
    const endpoints = [...places].flatMap(([spec, at]) => endpointsOf(spec, at));
    const networks = new Set(
      [...places.keys()].flatMap(({ addresses }) => addresses.map((it) => it.network)),
    );
    const state = ground.state(target, [...networks], endpoints);
    await target.call({ kind: "apply", state });
  };
  const arrive = async (spec: TaskSpec) => {
    const tasks = [{ id: spec.id, attachments: attachmentsOf(spec) }];
    await hostOf(spec).call({ kind: "attach", tasks });
    // Places of new tasks enter with the next news.
    await apply(hostOf(spec));
    const server = ["nc", "-ll", "-p", "80", "-e", "cat"];
    streams.add(hostOf(spec).startInTask(spec.id, "busybox", server));
    await listening(hostOf(spec), spec.id);
  };
  /** The tasks and their hosts, one after the other: each host hears of it while others have not. */
  const replace = async (next: ReadonlyMap<TaskSpec, Host>, order: readonly Host[]) => {
    for (const [spec, at] of places) await at.call({ kind: "detach", taskIds: [spec.id] });
    places = new Map(next);
    for (const each of order) await apply(each);
    for (const spec of places.keys()) await arrive(spec);
  };
  const open = (from: TaskSpec, address: string): ChildProcess => {
    const stream = hostOf(from).startInTask(from.id, "busybox", ["nc", address, "80"]);
    streams.add(stream);
    return stream;
  };
  const reaches = async (from: TaskSpec, address: string) => {
    const { id } = from;
    const nc = ["nc", "-w", "3", address, "80"];
    const asked = hostOf(from).inTask(id, "busybox", nc, Buffer.from("hello\n"));
    return await asked.then(
      ({ stdout }) => stdout === "hello\n",
      () => false,
    );
  };
  const conntracks = async (target: Host, from: string, to: string) => {
    const args = ["-L", "-p", "tcp", "-s", from, "-d", to];
    return (await target.namespace.run("conntrack", args)).stdout.includes(from);
  };
  const restart = async (target: Host) => {
    await target.killAgent();
    await target.startAgent();
    await apply(target);
  };

  before(async () => {
    fastPath = stack.use(await useFastPath());
    ground = stack.use(await Ground.open(2));
    places = new Map([
      [client, host(1)],
      [web, host(2)],
    ]);
    for (const each of ground.hosts) await apply(each);
    for (const spec of places.keys()) await arrive(spec);
  });
  after(async () => {
    for (const child of streams) child.kill("SIGKILL");
    await stack.disposeAsync();
  });

  test("the map has the tasks of both hosts, each where it is", async () => {
    for (const each of ground.hosts) {
      assert.deepEqual([...(await mapOf(each)).keys()].toSorted(), ["10.77.1.11", "10.77.1.12"]);
    }
    assert(await reaches(client, "10.77.1.12"));
    for (const each of ground.hosts) {
      assert(!(await conntracks(each, "10.77.1.11", "10.77.1.12")));
    }
  });

  test("flows go on while swarmd is away and when it is back, on the same path", async () => {
    const stream = open(client, "10.77.1.12");
    assert.equal(await exchange(stream, "before"), "before");
    await host(1).killAgent();
    assert.equal(await exchange(stream, "without"), "without");
    await host(1).startAgent();
    await apply(host(1));
    await host(1).call({
      kind: "attach",
      tasks: [{ id: client.id, attachments: attachmentsOf(client) }],
    });
    assert.equal(await exchange(stream, "after"), "after");
    assert(!(await conntracks(host(1), "10.77.1.11", "10.77.1.12")));
    stream.kill("SIGKILL");
  });

  test("flows live through switching it off and on again", async () => {
    const stream = open(client, "10.77.1.12");
    assert.equal(await exchange(stream, "on"), "on");
    await fastPath[Symbol.asyncDispose]();
    for (const each of ground.hosts) {
      await restart(each);
      assert.deepEqual(await remains(each), { filters: 0, pins: "" });
    }
    assert.equal(await exchange(stream, "off"), "off");
    assert(await conntracks(host(1), "10.77.1.11", "10.77.1.12"), "conntrack took it up");
    fastPath = stack.use(await useFastPath());
    for (const each of ground.hosts) await restart(each);
    assert.equal(await exchange(stream, "on again"), "on again");
    // What conntrack knows stays with it: it would be surprised by a gap.
    assert.equal(await exchange(stream, "and again"), "and again");
    stream.kill("SIGKILL");
  });

  test("what a stranger took away comes back with a repair", async () => {
    const { namespace } = host(1);
    const veth = `swv-${client.id.slice(0, 10)}0`;
    const stream = open(client, "10.77.1.12");
    assert.equal(await exchange(stream, "before"), "before");
    await namespace.run("tc", ["qdisc", "del", "dev", veth, "clsact"]);
    // One direction passes the rules now, the other does not.
    assert.equal(await exchange(stream, "half"), "half");
    assert(await reaches(client, "10.77.1.12"));
    await namespace.run("ip", ["link", "del", "sw-vx0"]);
    await host(1).call({ kind: "repair" });
    assert.equal(await exchange(stream, "whole"), "whole");
    assert.equal((await remains(host(1))).filters, 2);
    await namespace.run("conntrack", ["-F"]);
    assert(await reaches(client, "10.77.1.12"));
    assert(!(await conntracks(host(1), "10.77.1.11", "10.77.1.12")));
    stream.kill("SIGKILL");
  });

  test("addresses that change hands at once are never in the map with their former owner", async () => {
    const old = task("old", whole, "10.77.8.200");
    const friend = task("friend", whole, "10.77.8.20");
    const stranger = task("stranger", low, "10.77.8.20");
    const peer = task("peer", low, "10.77.8.21");
    const heir = task("heir", high, "10.77.8.200");
    using watch = watchForStale(ground.hosts);
    for (let round = 0; round < 4; round += 1) {
      const order = round % 2 === 0 ? ground.hosts : ground.hosts.toReversed();
      const [here, there] = order;
      assert(here !== undefined && there !== undefined);
      await replace(
        new Map([
          [old, there],
          [friend, here],
        ]),
        order,
      );
      assert(await reaches(friend, "10.77.8.200"), "control: of one network");
      await replace(
        new Map([
          [stranger, here],
          [peer, there],
          [heir, there],
        ]),
        order,
      );
      // The old place would have let it through: same address, same number of the network.
      assert(!(await reaches(stranger, "10.77.8.200")), `round ${round}`);
      assert(await reaches(stranger, "10.77.8.21"), "control: of one network");
    }
    assert.deepEqual(await watch.end(), []);
  });

  test("an address goes from host to host, and is met where it is", async () => {
    const net = network("walk", "10.77.9.0/24");
    const asker = task("asker", net, "10.77.9.11");
    const walker = task("walker", net, "10.77.9.12");
    using watch = watchForStale(ground.hosts);
    for (const at of [2, 1, 2, 1]) {
      await replace(
        new Map([
          [asker, host(1)],
          [walker, host(at)],
        ]),
        ground.hosts,
      );
      assert(await reaches(asker, "10.77.9.12"), `on host ${at}`);
    }
    assert.deepEqual(await watch.end(), []);
  });

  test("cleanup leaves nothing", async () => {
    for (const each of ground.hosts) {
      await each.call({ kind: "cleanup" });
      assert.deepEqual(await remains(each), { filters: 0, pins: "" });
    }
  });
});

async function mapOf({ namespace }: Host): Promise<PartedMap<string>> {
  const dump = `bpftool -j map dump pinned ${pins}/*/maps/places 2> /dev/null || echo []`;
  return parseDump((await namespace.run("sh", ["-c", dump])).stdout);
}

async function remains({ namespace }: Host) {
  const { stdout } = await namespace.run("tc", ["-j", "qdisc", "show"]);
  const listed = await namespace.run("sh", ["-c", `ls ${pins} 2> /dev/null || :`]);
  return { filters: stdout.split('"clsact"').length - 1, pins: listed.stdout.trim() };
}

async function linksOf({ namespace }: Host): Promise<ReadonlySet<number>> {
  const { stdout } = await namespace.run("ip", ["-j", "link", "show"]);
  return new Set((JSON.parse(stdout) as { readonly ifindex: number }[]).map((it) => it.ifindex));
}

/**
 * Looks at maps as long as it may. A place is stale if its device was gone before the look and is not there afterwards: one
 * that is made meanwhile is there afterwards.
 */
function watchForStale(hosts: readonly Host[]) {
  const stale: string[] = [];
  let looks = 0;
  const ended = new AbortController();
  const look = async (host: Host) => {
    while (!ended.signal.aborted) {
      const devicesBefore = await linksOf(host);
      const map = await mapOf(host);
      const devicesAfter = await linksOf(host);
      for (const [address, value] of map) {
        const device = Buffer.from(value.replaceAll(" ", ""), "hex").readUInt32LE(0);
        const isThere = devicesBefore.has(device) || devicesAfter.has(device);
        if (!isThere) stale.push(`${address} (${encodeKey(address)}) on ${host.id}`);
      }
      looks += map.size;
    }
  };
  const looking = Promise.all(hosts.map(look));
  return {
    async end(): Promise<readonly string[]> {
      ended.abort();
      await looking;
      assert(looks > 0, "control: there was something to see");
      return stale;
    },
    [Symbol.dispose]() {
      ended.abort();
    },
  };
}

async function exchange(stream: ChildProcess, line: string): Promise<string> {
  assert(stream.stdout !== null);
  const answered = once(stream.stdout, "data", { signal: AbortSignal.timeout(10_000) });
  stream.stdin?.write(`${line}\n`);
  const [data] = await answered;
  return String(data).trim();
}

async function listening(host: Host, taskId: string): Promise<void> {
  const wait = "until ss -ltnH 'sport = :80' | grep -q LISTEN; do sleep 0.02; done";
  await host.inTask(taskId, "timeout", ["10", "sh", "-c", wait]);
}
