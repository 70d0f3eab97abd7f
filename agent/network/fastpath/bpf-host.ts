/**
 * The fast path's objects in the kernel: programs and map, pinned below a folder of this network namespace and this
 * compiled object, and the filters that run them. Knows the commands, and no order.
 */
import { createHash } from "node:crypto";
import { access, mkdir, readdir, readFile, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Exec } from "#agent/exec.ts";
import { errnoOf, Fault } from "#proto/fault.ts";
import { plainDevice, vethPrefix } from "../devices.ts";
import type { PartedMap } from "../parted-map.ts";
import { encodeKey, parseDump } from "./places.ts";

export interface BpfHostOptions {
  readonly objectPath: string;
  /** Where the kernel's file system of pins is, or is to be mounted. */
  readonly bpfRoot: string;
}

export interface Filter {
  readonly device: string;
  readonly program: "from_task" | "from_wire";
}

/** The file system's magic number, of linux/magic.h. */
const bpfFsMagic = 0xcafe4a11;

/** See attachment.ts. */
const vethPattern = new RegExp(`^${vethPrefix}[0-9a-z]{11}$`);

export class BpfHost {
  readonly #options: BpfHostOptions;
  readonly #exec: Exec;
  readonly #folder: string;

  static async open(options: BpfHostOptions, exec: Exec): Promise<BpfHost> {
    const object = await readFile(options.objectPath);
    const hash = createHash("sha256").update(object).digest("hex").slice(0, 16);
    return new BpfHost(options, exec, `${await namespacePrefix()}${hash}`);
  }

  /** For `open`. */
  constructor(options: BpfHostOptions, exec: Exec, folder: string) {
    this.#options = options;
    this.#exec = exec;
    this.#folder = folder;
  }

  get #pins(): string {
    return join(pinsRoot(this.#options.bpfRoot), this.#folder);
  }

  get #map(): string {
    return join(this.#pins, "maps", "places");
  }

  async mount(): Promise<void> {
    const { bpfRoot } = this.#options;
    if ((await statfs(bpfRoot)).type === bpfFsMagic) return;
    await this.#exec.run("mount", ["-t", "bpf", "bpf", bpfRoot]);
  }

  /** Whether programs and map stand, from an earlier life of swarmd. */
  async isLoaded(): Promise<boolean> {
    const pins = [this.#map, join(this.#pins, "from_task"), join(this.#pins, "from_wire")];
    return (await Promise.all(pins.map(exists))).every(Boolean);
  }

  async load(): Promise<void> {
    // Half of one, if any: `loadall` replaces nothing.
    await rm(this.#pins, { recursive: true, force: true });
    await mkdir(pinsRoot(this.#options.bpfRoot), { recursive: true });
    const maps = join(this.#pins, "maps");
    const load = ["prog", "loadall", this.#options.objectPath, this.#pins];
    await this.#exec.run("bpftool", [...load, "type", "classifier", "pinmaps", maps]);
  }

  async read(): Promise<PartedMap<string>> {
    const { stdout } = await this.#exec.run("bpftool", ["-j", "map", "dump", "pinned", this.#map]);
    return parseDump(stdout);
  }

  async delete(addresses: readonly string[]): Promise<void> {
    await this.#batch(
      addresses.map((it) => `map delete pinned ${this.#map} key hex ${encodeKey(it)}`),
    );
  }

  async update(values: readonly (readonly [address: string, value: string])[]): Promise<void> {
    const line = (address: string, value: string) =>
      `map update pinned ${this.#map} key hex ${encodeKey(address)} value hex ${value}`;
    await this.#batch(values.map(([address, value]) => line(address, value)));
  }

  /** In place of the filter that stands, if any: at no time is there none. */
  async attach(filters: readonly Filter[]): Promise<void> {
    const lines = filters.flatMap(({ device, program }) => [
      `qdisc replace dev ${device} clsact`,
      `filter replace dev ${device} ingress pref 1 handle 1 bpf da pinned ${join(this.#pins, program)}`,
    ]);
    await this.#exec.run("tc", ["-batch", "-"], { input: text(lines) });
  }

  async #batch(lines: readonly string[]): Promise<void> {
    if (lines.length > 0)
      await this.#exec.run("bpftool", ["batch", "file", "-"], { input: text(lines) });
  }
}

/** Takes away what stands in this network namespace, whichever object it was made of; needs neither bpftool nor the object. */
export async function clearRemains(bpfRoot: string, exec: Exec): Promise<void> {
  const { stdout } = await exec.run("tc", ["-j", "qdisc", "show"]);
  const filtered = parseClsact(stdout).filter(
    (name) => name === plainDevice || vethPattern.test(name),
  );
  const lines = filtered.map((name) => `qdisc del dev ${name} clsact`);
  if (lines.length > 0) await exec.run("tc", ["-batch", "-"], { input: text(lines) });
  const prefix = await namespacePrefix();
  const folders = (await namesIn(pinsRoot(bpfRoot))).filter((name) => name.startsWith(prefix));
  for (const folder of folders) await rm(join(pinsRoot(bpfRoot), folder), { recursive: true });
}

/** Devices with a clsact qdisc, of what `tc -j qdisc show` prints. */
export function parseClsact(json: string): readonly string[] {
  const parsed: unknown = json.trim() === "" ? [] : JSON.parse(json);
  if (!Array.isArray(parsed)) throw new Fault("internal", "Cannot understand tc's list of qdiscs");
  return parsed.flatMap((entry: unknown) => {
    if (typeof entry !== "object" || entry === null) return [];
    const { kind, dev } = entry as { readonly kind?: unknown; readonly dev?: unknown };
    return kind === "clsact" && typeof dev === "string" ? [dev] : [];
  });
}

/** Devices that are up → their index. Without a process: this is asked all the time. */
export async function readDevices(): Promise<ReadonlyMap<string, number>> {
  return parseDevices(await readFile("/proc/net/igmp", "utf8"));
}

/** Every device that speaks IPv4 has a line of its own there, beginning with its index and name. */
export function parseDevices(igmp: string): ReadonlyMap<string, number> {
  const lines = igmp.matchAll(/^(\d+)\t(\S+) *:/gm);
  return new Map([...lines].map(([, index, name]) => [name ?? "", Number(index)]));
}

function pinsRoot(bpfRoot: string): string {
  return join(bpfRoot, "swarm");
}

/** A file system of pins may be shared by hosts that are namespaces of one machine. */
async function namespacePrefix(): Promise<string> {
  return `${(await stat("/proc/self/ns/net")).ino}-`;
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw Fault.wrap(`Cannot list "${folder}"`, error);
  }
}

function text(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
