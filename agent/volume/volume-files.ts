/**
 * Volumes on disk: a folder each with `volume.json`, which says what it is, and `_data`, its content. A volume appears and
 * goes by one rename, so it is there whole or not at all; what an end in the middle leaves begins with a dot and is cleared
 * away at the next start. `.uses/TASK` names the volumes that a task has.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import { isId } from "#proto/ids.ts";
import type { Log } from "#proto/ports.ts";
import { checkVolumeName } from "#proto/volume-rules.ts";
import type { Exec } from "../exec.ts";

export interface Volume {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
}

/** A volume that a task has. */
export interface Use {
  readonly name: string;
  /** Made for one container of the task, and gone with it. */
  readonly own: boolean;
}

export class VolumeFiles {
  readonly #root: string;
  readonly #exec: Exec;
  readonly #log: Log;
  #scratchCount = 0;

  constructor(root: string, { exec, log }: { readonly exec: Exec; readonly log: Log }) {
    this.#root = root;
    this.#exec = exec;
    this.#log = log;
  }

  dataOf(name: string): string {
    return join(this.#root, name, "_data");
  }

  /** There while the image's content is being copied into the volume. */
  markerOf(name: string): string {
    return join(this.#root, name, "copying");
  }

  /** Clears away what is half done, and reads what is there. */
  async load(): Promise<{ volumes: Volume[]; uses: Map<string, readonly Use[]> }> {
    await mkdir(join(this.#root, ".uses"), { recursive: true, mode: 0o700 });
    const names = await readdir(this.#root);
    for (const name of names.filter((one) => /^\.(new|old)-/.test(one))) {
      await this.#removeTree(join(this.#root, name));
    }
    const loaded = await Promise.all(
      names.filter((name) => !name.startsWith(".")).map((name) => this.#loadVolume(name)),
    );
    const tasks = await readdir(join(this.#root, ".uses"));
    for (const name of tasks.filter((one) => !isId(one))) await rm(join(this.#root, ".uses", name));
    const uses = await Promise.all(
      tasks.filter(isId).map(async (task) => [task, await this.#loadUses(task)] as const),
    );
    return { volumes: loaded.filter((volume) => volume !== undefined), uses: new Map(uses) };
  }

  async create(volume: Volume): Promise<void> {
    const fresh = this.#scratch("new");
    await mkdir(join(fresh, "_data"), { recursive: true, mode: 0o755 });
    // Flushed: a volume outlives a power loss, and without this file it is one that nobody can use.
    const options = { mode: 0o600, flush: true };
    await writeFile(join(fresh, "volume.json"), JSON.stringify(volume), options);
    await rename(fresh, join(this.#root, volume.name));
  }

  /** Nothing is mounted in it any more. */
  async remove(name: string): Promise<void> {
    const old = this.#scratch("old");
    await rename(join(this.#root, name), old);
    await this.#removeTree(old);
  }

  async saveUses(taskId: string, uses: readonly Use[]): Promise<void> {
    const path = join(this.#root, ".uses", taskId);
    if (uses.length === 0) return await rm(path, { force: true });
    await writeFile(`${path}.new`, JSON.stringify(uses), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  /** Bytes on disk, by volume. */
  async sizes(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    if (names.length === 0) return new Map();
    const paths = names.map((name) => this.dataOf(name));
    const { stdout } = await this.#exec.run("du", ["-sx", "-B1", "--", ...paths], {
      timeoutMs: walkMs,
    });
    const sizes = stdout.split("\n").map((line) => Number.parseInt(line, 10));
    return new Map(names.map((name, index) => [name, sizes[index] ?? 0]));
  }

  #scratch(kind: "new" | "old"): string {
    this.#scratchCount += 1;
    return join(this.#root, `.${kind}-${this.#scratchCount}`);
  }

  /** Stops where another file system begins: whatever somebody mounted in there is not ours to empty. */
  async #removeTree(path: string): Promise<void> {
    await this.#exec.run("rm", ["-rf", "--one-file-system", "--", path], { timeoutMs: walkMs });
  }

  async #loadVolume(name: string): Promise<Volume | undefined> {
    try {
      return parseVolume(name, await readFile(join(this.#root, name, "volume.json"), "utf8"));
    } catch (thrown) {
      // Its content may be worth much: it stays, and somebody is told.
      this.#log.error("Cannot read what a volume is: it is left as it is, and not used", {
        volume: name,
        error: Fault.from(thrown).message,
      });
      return undefined;
    }
  }

  async #loadUses(taskId: string): Promise<readonly Use[]> {
    try {
      const path = join(this.#root, ".uses", taskId);
      return parseUses(JSON.parse(await readFile(path, "utf8")));
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOENT" || thrown instanceof SyntaxError) return [];
      throw thrown;
    }
  }
}

/** A volume may hold millions of files. */
const walkMs = 30 * 60_000;

/** A Fault "data-loss" for anything that is not what `create` wrote. */
export function parseVolume(name: string, text: string): Volume {
  const value = parseJson(text);
  const { options, labels, createdAtMs } = value;
  if (value["name"] === name && typeof createdAtMs === "number") {
    checkVolumeName(name);
    return { name, options: parsePairs(options), labels: parsePairs(labels), createdAtMs };
  }
  throw new Fault("data-loss", "the file is not that of this volume");
}

function parseJson(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return { ...value };
  } catch (thrown) {
    throw new Fault("data-loss", "the file is damaged", { cause: thrown });
  }
  throw new Fault("data-loss", "the file is damaged");
}

function parsePairs(value: unknown): Readonly<Record<string, string>> {
  const pairs = typeof value === "object" && value !== null ? Object.entries(value) : [];
  return Object.fromEntries(pairs.map(([key, one]) => [key, String(one)]));
}

function parseUses(value: unknown): readonly Use[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown) => {
    const { name, own } = { name: undefined, own: undefined, ...(one as Partial<Use>) };
    return typeof name === "string" ? [{ name, own: own === true }] : [];
  });
}
