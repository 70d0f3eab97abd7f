/**
 * `system support-bundle`: one archive that tells others how a cluster is, for those who look for a fault from elsewhere. What
 * cannot be had is noted in its manifest, and nothing else depends on it.
 */
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { HostService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { redactText } from "#proto/redact.ts";
import { version } from "#proto/version.ts";
import { complain } from "../complain.ts";
import type { Context } from "../context.ts";
import { NodeFault, nodeName, settleNodes } from "../node-call.ts";
import { clusterState } from "./cluster-state.ts";
import { runCheckHost } from "./local-host.ts";
import { TarWriter } from "./tar-writer.ts";

interface Options {
  readonly out?: string;
  readonly node?: readonly string[];
}

interface NodeFile {
  readonly name: string;
  readonly data: Uint8Array;
  readonly note: string;
}

/** A file of the archive, or one that it lacks. */
interface Entry {
  readonly file: string;
  readonly bytes: number;
  /** Why it is missing or not whole. */
  readonly note?: string;
}

/** Each node runs some twenty programs, of which the slowest counts files. */
const deadlineMs = 3 * 60_000;

/** Of each node: what is more is left out, and noted. */
const nodeBytesMax = 32 * 1024 * 1024;

export function define(command: Command, context: Context): void {
  command
    .option("-o, --out <file>", "the archive (default: swarm-support-TIME.tar.gz)")
    .option("--node <node...>", "these nodes alone, by ID or host name")
    .action(async (options: Options) => {
      const { clock } = context.io;
      const time = new Date(clock.now()).toISOString().replace(/[-:]|\.\d+/g, "");
      const name = `swarm-support-${time}`;
      const path = options.out ?? `${name}.tar.gz`;
      await using archive = await TarWriter.open(path, clock.now());
      const bundle = new Bundle(name, archive, context);
      await bundle.collect(options.node);
      await bundle.writeManifest();
      await archive.end();
      context.print(`Wrote ${path}: ${bundle.summary()}.`);
      context.io.stderr.write(
        "Secrets are left out by name and by form: look through it before you pass it on.\n",
      );
    });
}

class Bundle {
  readonly #name: string;
  readonly #archive: TarWriter;
  readonly #context: Context;
  readonly #entries: Entry[] = [];
  /** Whom it could not ask, and why. */
  readonly #problems: string[] = [];
  #nodes = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(name: string, archive: TarWriter, context: Context) {
    this.#name = name;
    this.#archive = archive;
    this.#context = context;
  }

  async collect(refs: readonly string[] | undefined): Promise<void> {
    const nodes = await this.#collectState(refs);
    if (nodes === undefined) await this.#collectHere();
    else await this.#collectNodes(nodes);
  }

  async writeManifest(): Promise<void> {
    const manifest = {
      made: new Date(this.#context.io.clock.now()).toISOString(),
      by: `swarmctl ${version}`,
      problems: this.#problems,
      files: this.#entries.toSorted((one, other) => (one.file < other.file ? -1 : 1)),
    };
    const data = Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`);
    await this.#archive.add(`${this.#name}/manifest.json`, data);
  }

  summary(): string {
    const files = this.#entries.filter(({ bytes }) => bytes > 0).length;
    const problems = this.#problems.length;
    const lacking = problems === 0 ? "" : `; ${problems} could not be asked, see manifest.json`;
    return `${files} files of ${this.#nodes} nodes${lacking}`;
  }

  /** The manager's own state, also where nobody leads. Undefined where no manager answers. */
  async #collectState(refs: readonly string[] | undefined): Promise<readonly Node[] | undefined> {
    try {
      const control = await this.#context.control({ stale: true });
      const { nodes } = await control.listNodes({});
      for (const { name, read } of clusterState(control)) {
        await this.#add(`cluster/${name}`, async () => Buffer.from(await read()));
      }
      return chosen(nodes, refs);
    } catch (thrown) {
      const fault = Fault.from(thrown);
      if (fault.code === "not-found" || !(await this.#context.isHere())) throw thrown;
      this.#problem(`The cluster could not be asked: ${fault.message}`);
      return undefined;
    }
  }

  async #collectHere(): Promise<void> {
    this.#nodes = 1;
    await this.#add("here/check-host.txt", async () => Buffer.from(await runCheckHost()));
  }

  /** A folder for each. Nodes are asked side by side; the archive is one stream, and takes what they say in turn. */
  async #collectNodes(nodes: readonly Node[]): Promise<void> {
    const folders = foldersOf(nodes);
    const answers = await settleNodes(nodes, async (node) => {
      const files = await this.#ask(node);
      const folder = `nodes/${folders.get(node.id) ?? node.id}`;
      await (this.#writing = this.#writing.then(async () => await this.#write(folder, files)));
    });
    for (const answer of answers) {
      if (answer instanceof NodeFault) this.#problem(answer.fault.message);
      else this.#nodes += 1;
    }
  }

  async #write(folder: string, files: readonly NodeFile[]): Promise<void> {
    for (const { name, data, note } of files) {
      const file = `${folder}/${name}`;
      if (data.length > 0) await this.#archive.add(`${this.#name}/${file}`, data);
      this.#entries.push({ file, bytes: data.length, ...(note === "" ? {} : { note }) });
    }
  }

  async #ask(node: Node): Promise<readonly NodeFile[]> {
    const client = await this.#context.engine(HostService, node.id);
    const { signal } = this.#context.io;
    const files = new Map<string, { readonly pieces: Uint8Array[]; note: string }>();
    let bytes = 0;
    for await (const message of client.collectSupport({}, { deadlineMs, signal })) {
      const file = files.get(message.file) ?? { pieces: [], note: "" };
      files.set(message.file, file);
      if (message.note !== "") file.note = message.note;
      bytes += message.data.length;
      if (bytes <= nodeBytesMax) file.pieces.push(message.data);
      else file.note = "left out: the node has too much to tell";
    }
    return [...files].map(([name, { pieces, note }]) => {
      return { name: plainName(name), data: Buffer.concat(pieces), note };
    });
  }

  async #add(file: string, read: () => Promise<Uint8Array>): Promise<void> {
    try {
      const data = await read();
      await this.#archive.add(`${this.#name}/${file}`, data);
      this.#entries.push({ file, bytes: data.length });
    } catch (thrown) {
      const note = redactText(Fault.from(thrown).message);
      this.#entries.push({ file, bytes: 0, note });
    }
  }

  #problem(message: string): void {
    this.#problems.push(message);
    complain(this.#context.io, message);
  }
}

function chosen(nodes: readonly Node[], refs: readonly string[] | undefined): readonly Node[] {
  if (refs === undefined) return nodes;
  return refs.map((ref) => {
    const node = nodes.find((one) => one.id === ref || nodeName(one) === ref);
    if (node !== undefined) return node;
    throw new Fault("not-found", `node "${ref}" not found: see swarmctl node ls`);
  });
}

/** Host names by node; where two hosts have the same, with their IDs. */
function foldersOf(nodes: readonly Node[]): ReadonlyMap<string, string> {
  const counts = Map.groupBy(nodes, nodeName);
  return new Map(
    nodes.map((node) => {
      const name = plainName(nodeName(node));
      const isOnly = counts.get(nodeName(node))?.length === 1;
      return [node.id, isOnly ? name : `${name}-${node.id}`];
    }),
  );
}

/** What a node says is no path. */
function plainName(name: string): string {
  return name
    .replace(/[^\w.-]/g, "_")
    .replace(/^\.+/, "_")
    .slice(0, 64);
}
