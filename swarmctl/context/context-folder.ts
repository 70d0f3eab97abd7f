/**
 * Where contexts are kept: $XDG_CONFIG_HOME/swarm or ~/.config/swarm, for the user alone.
 *
 *     contexts/NAME.json   a context
 *     current              the name of the one in use; absent: this host's own sockets
 *
 * Every command looks here, so what reads certificates is loaded only where there is one.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Io } from "../io.ts";
import type { SavedContext } from "./saved-context.ts";

/** Means no context: this host's own sockets. */
export const defaultContextName = "default";

/** Also a user's name in a certificate, so that `context create` can give it that. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$/;

const suffix = ".json";

export class ContextFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Undefined where the environment names no home. */
  static find({ env }: Pick<Io, "env">): ContextFolder | undefined {
    const home = env["HOME"];
    const config = env["XDG_CONFIG_HOME"] || (home ? join(home, ".config") : undefined);
    return config === undefined ? undefined : new ContextFolder(join(config, "swarm"));
  }

  async current(): Promise<string | undefined> {
    const name = await readIfThere(join(this.#path, "current"));
    return name?.trim() || undefined;
  }

  /** Undefined: none. */
  async use(name: string | undefined): Promise<void> {
    const path = join(this.#path, "current");
    if (name === undefined) await rm(path, { force: true });
    else await this.#write(path, `${name}\n`);
  }

  async names(): Promise<readonly string[]> {
    try {
      const files = await readdir(join(this.#path, "contexts"));
      return files
        .filter((file) => file.endsWith(suffix) && namePattern.test(file))
        .map((file) => file.slice(0, -suffix.length))
        .toSorted();
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOENT") return [];
      throw Fault.from(thrown);
    }
  }

  async load(name: string): Promise<SavedContext> {
    const path = this.pathOf(name);
    const text = await readIfThere(path);
    if (text === undefined) {
      throw new Fault("not-found", `No context "${name}": see "swarmctl context ls"`);
    }
    try {
      const { parseContext } = await import("./saved-context.ts");
      return parseContext(text);
    } catch (thrown) {
      throw Fault.wrap(`Cannot read the context "${name}" from "${path}"`, thrown);
    }
  }

  async refuseTaken(name: string): Promise<void> {
    if ((await readIfThere(this.pathOf(name))) === undefined) return;
    const advice = 'remove it first, with "swarmctl context rm"';
    throw new Fault("already-exists", `The context "${name}" exists already: ${advice}`);
  }

  async add(name: string, context: SavedContext): Promise<void> {
    await this.refuseTaken(name);
    await this.replace(name, context);
  }

  /** In place of what is there. */
  async replace(name: string, context: SavedContext): Promise<void> {
    const { formatContext } = await import("./saved-context.ts");
    await this.#write(this.pathOf(name), formatContext(context));
  }

  async remove(name: string): Promise<void> {
    await this.load(name);
    await rm(this.pathOf(name));
  }

  pathOf(name: string): string {
    checkContextName(name);
    return join(this.#path, "contexts", `${name}${suffix}`);
  }

  /** Whole or not at all. */
  async #write(path: string, text: string): Promise<void> {
    try {
      await mkdir(join(this.#path, "contexts"), { recursive: true, mode: 0o700 });
      const draft = `${path}.new`;
      await writeFile(draft, text, { mode: 0o600, flush: true });
      await rename(draft, path);
    } catch (thrown) {
      throw Fault.wrap(`Cannot write "${path}"`, thrown);
    }
  }
}

export function checkContextName(name: string): void {
  if (name === defaultContextName) {
    const message = `"${name}" stands for this host's own sockets: choose another name`;
    throw new Fault("invalid-argument", message);
  }
  if (namePattern.test(name)) return;
  const rule = `use up to 64 letters, digits, "_", ".", "@" and "-", beginning with a letter or digit`;
  throw new Fault("invalid-argument", `"${name}" cannot be a context's name: ${rule}`);
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot read "${path}"`, thrown);
  }
}
