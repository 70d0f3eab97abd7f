/** The order of operations, against a kernel that fails whenever it likes. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Exec, RunResult } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import { silentLog } from "#proto/system-ports.ts";
import { parseClsact, parseDevices } from "./bpf-host.ts";
import { FastPath, type FastPathMode } from "./fast-path.ts";
import { PartedMap } from "../parted-map.ts";
import { encodePlaces, noPlaces, type Place, type Places } from "./places.ts";

/** What tc and bpftool do, in memory; pins are files of a temporary folder. */
class FakeKernel implements AsyncDisposable {
  readonly root: string;
  readonly map = new Map<string, string>();
  readonly filters = new Set<string>();
  devices = new Map<string, number>();
  ran: string[] = [];
  /** Asked before every line: does it fail? */
  fails: (command: string) => boolean = () => false;

  static async open(): Promise<FakeKernel> {
    const root = await mkdtemp(join(tmpdir(), "fastpath-"));
    await writeFile(join(root, "object.o"), "compiled");
    return new FakeKernel(root);
  }

  constructor(root: string) {
    this.root = root;
  }

  readonly exec: Exec = {
    run: (command, args, options) => this.#run(command, args, options?.input),
    start: () => assert.fail("nothing is started"),
  };

  fastPath(mode: FastPathMode = "auto", objectPath = join(this.root, "object.o")) {
    return FastPath.open(
      { mode, objectPath, bpfRoot: this.root },
      { exec: this.exec, log: silentLog, readDevices: () => Promise.resolve(this.devices) },
    );
  }

  /** Pins of this network namespace. */
  async pins(): Promise<readonly string[]> {
    return await readdir(join(this.root, "swarm")).catch(() => []);
  }

  /** What a packet meets: without filters nothing is asked of the map. */
  get active(): ReadonlyMap<string, string> {
    return this.filters.size === 0 ? new Map() : this.map;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true });
  }

  async #run(command: string, args: readonly string[], input: unknown): Promise<RunResult> {
    this.ran.push(command);
    const lines =
      args.includes("-batch") || args[0] === "batch" ? String(input).trim().split("\n") : [];
    for (const line of lines.length === 0 ? [args.join(" ")] : lines) {
      if (this.fails(command)) throw new Fault("internal", `${command} does not like "${line}"`);
      const stdout = await this.#perform(line);
      if (lines.length === 0) return { stdout, stderr: "" };
    }
    return { stdout: "", stderr: "" };
  }

  async #perform(line: string): Promise<string> {
    const words = line.split(" ");
    if (line.startsWith("map delete")) assert(this.map.delete(words.slice(6).join(" ")), line);
    if (line.startsWith("map update"))
      this.map.set(words.slice(6, 10).join(" "), words.slice(12).join(" "));
    if (line.startsWith("prog loadall")) await this.#load(words[3] ?? "");
    if (line.startsWith("filter replace")) this.filters.add(words[3] ?? "");
    if (line.startsWith("qdisc del")) this.filters.delete(words[3] ?? "");
    if (line === "-j qdisc show") {
      return JSON.stringify([...this.filters].map((dev) => ({ kind: "clsact", dev })));
    }
    if (!line.startsWith("-j map dump")) return "";
    const bytes = (text: string) => text.split(" ").map((byte) => `0x${byte}`);
    return JSON.stringify(
      [...this.map].map(([key, value]) => ({ key: bytes(key), value: bytes(value) })),
    );
  }

  async #load(pins: string): Promise<void> {
    this.map.clear();
    // Like bpftool, which makes no folder above.
    await mkdir(pins);
    await mkdir(join(pins, "maps"));
    for (const pin of ["from_task", "from_wire", "maps/places"])
      await writeFile(join(pins, pin), "");
  }
}

const veth = (n: number) => `swv-task00000${n}0`.padEnd(15, "0");

function place(device: string, network: number): Place {
  return {
    device,
    network,
    local: device !== "sw-vx0",
    to: "02:6e:00:00:00:02",
    from: "02:6e:00:00:00:01",
  };
}

const here = PartedMap.from([
  ["10.77.1.11", place(veth(1), 1)],
  ["10.77.1.12", place("sw-vx0", 1)],
]);
const devices = new Map([
  ["sw-vx0", 7],
  [veth(1), 8],
]);

async function enlisted(kernel: FakeKernel): Promise<FastPath> {
  const fastPath = await kernel.fastPath();
  assert(fastPath !== undefined);
  kernel.devices = new Map(devices);
  await fastPath.retire(here);
  await fastPath.enlist(here);
  return fastPath;
}

function valuesOf(places: Places, devices: ReadonlyMap<string, number>): readonly string[] {
  return [...encodePlaces(places, devices)].map(([, value]) => value).toSorted();
}

/** The map as the kernel has it, as texts of `encodePlaces`. */
function holds(kernel: FakeKernel, places: Places): boolean {
  const wanted = valuesOf(places, kernel.devices);
  return JSON.stringify([...kernel.active.values()].toSorted()) === JSON.stringify(wanted);
}

test("fast path, filters stand before places enter, and what is right is not done again", async () => {
  await using kernel = await FakeKernel.open();
  const fastPath = await enlisted(kernel);
  assert(holds(kernel, here));
  assert.deepEqual([...kernel.filters], ["sw-vx0", veth(1)]);
  const { ran } = kernel;
  assert.deepEqual(ran.slice(ran.lastIndexOf("tc")), ["tc", "bpftool"]);
  kernel.ran = [];
  await fastPath.retire(here);
  await fastPath.enlist(here);
  assert.deepEqual(kernel.ran, []);
});

test("fast path, a veth that was made anew loses its place first, and gets a filter", async () => {
  await using kernel = await FakeKernel.open();
  const fastPath = await enlisted(kernel);
  kernel.devices.set(veth(1), 9);
  kernel.filters.delete(veth(1));
  await fastPath.retire(here);
  assert.equal(kernel.map.size, 1);
  await fastPath.enlist(here);
  assert(holds(kernel, here));
  assert(kernel.filters.has(veth(1)));
});

test("fast path, swarmd that starts again adopts what stands", async () => {
  await using kernel = await FakeKernel.open();
  await enlisted(kernel);
  kernel.ran = [];
  const fastPath = await kernel.fastPath();
  assert(fastPath !== undefined);
  assert(holds(kernel, here));
  const rest = PartedMap.from([...here].slice(1));
  await fastPath.retire(rest);
  assert(holds(kernel, rest));
  assert.equal((await kernel.pins()).length, 1);
});

test("fast path, another object takes the place of the one that stands", async () => {
  await using kernel = await FakeKernel.open();
  await enlisted(kernel);
  const [before] = await kernel.pins();
  await writeFile(join(kernel.root, "object.o"), "compiled anew");
  const fastPath = await kernel.fastPath();
  assert.equal(kernel.filters.size, 0);
  await fastPath?.enlist(here);
  assert(holds(kernel, here));
  const after = await kernel.pins();
  assert.equal(after.length, 1);
  assert.notEqual(after[0], before);
});

test("fast path, switched off or cleaned up it leaves nothing", async () => {
  await using kernel = await FakeKernel.open();
  const fastPath = await enlisted(kernel);
  await fastPath.cleanup();
  assert.deepEqual([kernel.filters.size, await kernel.pins()], [0, []]);
  await fastPath.enlist(here);
  assert(holds(kernel, here));
  assert.equal(await kernel.fastPath("off"), undefined);
  assert.deepEqual([kernel.filters.size, await kernel.pins()], [0, []]);
});

test("fast path, where the object lacks, auto goes without and on says so", async () => {
  await using kernel = await FakeKernel.open();
  const absent = join(kernel.root, "absent.o");
  assert.equal(await kernel.fastPath("auto", absent), undefined);
  await assert.rejects(kernel.fastPath("on", absent), (error) => {
    return (
      error instanceof Fault &&
      error.code === "failed-precondition" &&
      /npm run fastpath/.test(error.message)
    );
  });
});

test("fast path, a load that fails is not tried until something is looked at anew", async () => {
  await using kernel = await FakeKernel.open();
  const fastPath = await kernel.fastPath();
  assert(fastPath !== undefined);
  kernel.fails = () => true;
  await fastPath.enlist(here);
  kernel.fails = () => false;
  await fastPath.enlist(here);
  assert.equal(kernel.active.size, 0);
  fastPath.forget();
  kernel.devices = new Map(devices);
  await fastPath.enlist(here);
  assert(holds(kernel, here));
});

test("fast path, one that must be and does not come up is a failure each time", async () => {
  await using kernel = await FakeKernel.open();
  const fastPath = await kernel.fastPath("on");
  assert(fastPath !== undefined);
  kernel.fails = () => true;
  for (let time = 0; time < 2; time += 1) {
    await assert.rejects(fastPath.enlist(here), /Cannot program the network's fast path/);
  }
});

/** A picture: for each of a few addresses whose it is; a veth that is made anew has another index. */
const pictures = fc.array(
  fc.record({
    owners: fc.array(fc.option(fc.nat(3)), { minLength: 4, maxLength: 4 }),
    generation: fc.nat(2),
    failing: fc.array(fc.boolean(), { maxLength: 6 }),
    restart: fc.boolean(),
    forget: fc.boolean(),
  }),
  { minLength: 1, maxLength: 12 },
);

test("fast path, no address is ever in the map while it belongs to nobody or to another", async () => {
  await fc.assert(
    fc.asyncProperty(pictures, async (steps) => {
      await using kernel = await FakeKernel.open();
      let fastPath = await kernel.fastPath();
      for (const { owners, generation, failing, restart, forget } of steps) {
        const places = PartedMap.from(
          owners.flatMap((owner, index) => {
            if (owner === null) return [];
            const device = owner === 0 ? "sw-vx0" : veth(owner);
            return [[`10.77.1.${index + 1}`, place(device, owner % 2)] as const];
          }),
        );
        const right = new Set(valuesOf(places, kernel.devices));
        let calls = 0;
        kernel.fails = () => failing[calls++] ?? false;
        if (forget) fastPath?.forget();
        const retired = await fastPath?.retire(places).then(
          () => true,
          () => false,
        );
        // Where it cannot be done the driver does not go on. Here it says so only if every way failed.
        if (retired === false) continue;
        for (const value of kernel.active.values()) assert(right.has(value), "a stale place");
        // Only now does the world change.
        kernel.devices = new Map([["sw-vx0", 7]]);
        for (const n of [1, 2, 3]) kernel.devices.set(veth(n), 10 * n + generation);
        await fastPath?.enlist(places);
        const after = new Set(valuesOf(places, kernel.devices));
        kernel.fails = () => false;
        if (restart) fastPath = await kernel.fastPath();
        await fastPath?.retire(places);
        for (const value of kernel.active.values()) assert(after.has(value), "a stale place");
      }
      kernel.fails = () => false;
      await fastPath?.cleanup();
      assert.deepEqual([kernel.filters.size, await kernel.pins()], [0, []]);
    }),
    { numRuns: 300 },
  );
});

test("fast path, an address that cannot be taken out takes the whole layer down", async () => {
  await using kernel = await FakeKernel.open();
  const fastPath = await enlisted(kernel);
  kernel.fails = (command) => command === "bpftool";
  await fastPath.retire(noPlaces);
  assert.equal(kernel.active.size, 0);
});

test("fast path, an address that can in no way be taken out keeps its task's link from going", async () => {
  await using kernel = await FakeKernel.open();
  const fastPath = await enlisted(kernel);
  kernel.fails = () => true;
  await assert.rejects(fastPath.retire(noPlaces), /Cannot take an address out/);
});

test("parseDevices and parseClsact find what is printed, and make nothing up", () => {
  const igmp =
    "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n12\tswv-0123456789a:     1      V3\n";
  assert.deepEqual(
    [...parseDevices(igmp)],
    [
      ["lo", 1],
      ["swv-0123456789a", 12],
    ],
  );
  const qdiscs = [
    { kind: "noqueue", dev: "a" },
    { kind: "clsact", dev: "b" },
    null,
    7,
    { kind: "clsact" },
  ];
  assert.deepEqual(parseClsact(JSON.stringify(qdiscs)), ["b"]);
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const index of parseDevices(text).values())
        assert(Number.isSafeInteger(index) || text.length > 15);
    }),
  );
});
