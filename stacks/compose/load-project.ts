/**
 * Files → one file in its normal form: each read, interpolated and checked, with what it includes and what its services
 * extend, then merged in their order. Relative paths count from the folder of the first.
 */
import { dirname, resolve } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import { castScalars } from "./cast.ts";
import { checkFile } from "./check-file.ts";
import { withEnvFile } from "./env-files.ts";
import { interpolate } from "./interpolate.ts";
import { mergeFiles, mergeServices, settle } from "./merge.ts";
import {
  childOf,
  mapEntries,
  type MapNode,
  type Node,
  type Path,
  refusalAt,
  textOf,
} from "#proto/yaml/node.ts";
import { normalForm, type Variables } from "./normal-form.ts";
import { readYaml } from "#proto/yaml/read-yaml.ts";
import { stackSchema } from "./stack-schema.ts";

export interface ComposeInput {
  /** What refusals call the file. */
  readonly file: string;
  readonly text: string;
}

interface ProjectOptions {
  /** To which relative paths are relative. */
  readonly folder: string;
  readonly variables: Variables;
  /** Whether variables stay as they are. */
  readonly raw: boolean;
  /** The content of a file; "not-found" where there is none. */
  readonly readText: (path: string) => string;
  /** Told of a variable that stands for nothing, and where. */
  readonly onUnset: (name: string, where: string) => void;
  /** Told of what means nothing in a cluster, and where. */
  readonly onUnheeded: (what: string) => void;
}

/** Files that one stack is made of, counted as often as they are read. */
const filesMax = 500;
/** Services that begin with one another. */
const extendsMax = 100;

export class ProjectLoader {
  readonly #options: ProjectOptions;
  readonly #budget: { files: number };
  /** Files that are being included, from the outermost in. */
  readonly #within: readonly string[];

  constructor(
    options: ProjectOptions,
    within: readonly string[] = [],
    budget: { files: number } = { files: filesMax },
  ) {
    this.#options = options;
    this.#within = within;
    this.#budget = budget;
  }

  load(inputs: readonly ComposeInput[]): MapNode {
    const files = inputs.map((input) => this.#loadFile(input));
    const [first, ...others] = files;
    if (first === undefined) throw new Fault("invalid-argument", "There is no stack file to read");
    const all = others.reduce(mergeFiles, first);
    const settled = settle(all);
    return settled.kind === "map" ? settled : all;
  }

  #loadFile(input: ComposeInput): MapNode {
    const file = this.#read(input, this.#options.folder);
    const extended = this.#extendServices(file, input.file);
    const included = this.#include(childOf(extended, "include"));
    const entries = new Map(extended.entries);
    entries.delete("include");
    const own: MapNode = { ...extended, entries };
    return included.length === 0 ? own : [...included, own].reduce(mergeFiles);
  }

  #read({ file, text }: ComposeInput, folder: string): MapNode {
    this.#budget.files -= 1;
    if (this.#budget.files < 0) {
      throw new Fault(
        "invalid-argument",
        `${file}: the stack is made of more than ${filesMax} files`,
      );
    }
    const { raw, variables, onUnset } = this.#options;
    const written = readYaml(text, file);
    const replaced = raw ? written : interpolate(written, { variables, onUnset });
    const cast = castScalars(replaced, stackSchema);
    const checked = checkFile(cast, { raw });
    return normalForm(checked, { ...this.#options, folder });
  }

  #extendServices(file: MapNode, name: string): MapNode {
    const services = childOf(file, "services");
    if (services?.kind !== "map") return file;
    const extended = mapEntries(services, (_, key) => this.#extended({ file, name }, key, []));
    return mapEntries(file, (section) => (section === services ? extended : section));
  }

  /** The service with what it extends. `chain`: who has extended whom to come here. */
  #extended(home: Home, key: string, chain: readonly string[]): Node | undefined {
    const service = childOf(childOf(home.file, "services"), key);
    const reference = childOf(service, "extends");
    if (service?.kind !== "map" || reference === undefined) return service;
    const path = ["services", key, "extends"];
    const step = `${home.name}#${key}`;
    const steps = [...chain, step];
    if (chain.includes(step)) {
      const ring = steps.map((one) => one.slice(one.lastIndexOf("#") + 1)).join(" → ");
      throw refusalAt(reference.place, path, `goes in a circle: ${ring}`);
    }
    if (steps.length > extendsMax) {
      const what = `is a chain of more than ${extendsMax} services`;
      throw refusalAt(reference.place, path, what);
    }
    const base = this.#extendedHome(home, reference, path);
    const baseKey = textOf(childOf(reference, "service") ?? reference);
    const found = this.#extended(base, baseKey, steps);
    if (found === undefined) {
      const what = `names the service "${baseKey}", which ${base.name} does not define`;
      throw refusalAt(reference.place, path, what);
    }
    const entries = new Map(service.entries);
    entries.delete("extends");
    return mergeServices(found, { ...service, entries });
  }

  #extendedHome(home: Home, reference: Node, path: Path): Home {
    const file = childOf(reference, "file");
    if (file === undefined) return home;
    const name = resolve(this.#options.folder, textOf(file));
    const text = this.#readReferred(name, file, [...path, "file"]);
    return { file: this.#read({ file: name, text }, dirname(name)), name };
  }

  #include(include: Node | undefined): readonly MapNode[] {
    if (include?.kind !== "list") return [];
    return include.items.map((item, index) => this.#included(item, ["include", String(index)]));
  }

  #included(item: Node, path: Path): MapNode {
    const { folder } = this.#options;
    const files = listed(childOf(item, "path") ?? item).map((node) => {
      const name = resolve(folder, textOf(node));
      if (this.#within.includes(name)) {
        throw refusalAt(node.place, path, `goes in a circle: "${name}" includes itself`);
      }
      return { file: name, text: this.#readReferred(name, node, path) };
    });
    const directory = childOf(item, "project_directory");
    const inner =
      directory === undefined
        ? dirname(files[0]?.file ?? folder)
        : resolve(folder, textOf(directory));
    const named = childOf(item, "env_file");
    const envFiles =
      named === undefined
        ? this.#dotenvOf(inner)
        : listed(named).map((node) => {
            const file = resolve(folder, textOf(node));
            return { file, text: this.#readReferred(file, node, [...path, "env_file"]) };
          });
    const variables = withEnvFile(this.#options.variables, envFiles, this.#options.onUnset);
    const within = [...this.#within, ...files.map(({ file }) => file)];
    const options = { ...this.#options, folder: inner, variables };
    return new ProjectLoader(options, within, this.#budget).load(files);
  }

  #dotenvOf(folder: string): readonly ComposeInput[] {
    return readDotenv(folder, this.#options.readText);
  }

  #readReferred(file: string, node: Node, path: Path): string {
    try {
      return this.#options.readText(file);
    } catch (thrown) {
      throw refusalAt(node.place, path, `is refused: ${Fault.from(thrown).message}`);
    }
  }
}

/** A file whose services may be extended. */
interface Home {
  readonly file: MapNode;
  readonly name: string;
}

function listed(node: Node): readonly Node[] {
  return node.kind === "list" ? node.items : [node];
}

/** The `.env` of a folder, if it has one; a folder of that name is somebody else's. */
export function readDotenv(
  folder: string,
  readText: ProjectOptions["readText"],
): readonly ComposeInput[] {
  const file = resolve(folder, ".env");
  try {
    return [{ file, text: readText(file) }];
  } catch (thrown) {
    const { code, cause } = Fault.from(thrown);
    if (code === "not-found" || errnoOf(cause) === "EISDIR") return [];
    throw thrown;
  }
}
