/**
 * Where the names of a layer lead when the layer has symbolic links in their way: to another place of the same tree, as
 * for a program that runs in a chroot. Follows links on paper only, so nothing outside can be reached. Pure.
 *
 * Names are byte strings (latin1), relative and clean; "" is the root.
 */
import type { Fault } from "#proto/fault.ts";
import { malformed } from "./tar-header.ts";

/** As in the kernel: so many links in one name are a loop. */
const hopsMax = 40;

/** Parts of one name, with those of the links in it: twice as many as the longest name has. */
const partsMax = 4096;

export class LinkResolver {
  /** Path of a link, its target as it stands in it. */
  readonly #links: Map<string, string>;

  /** `links`: those that the layers below have where this one's names lead. */
  constructor(links: Iterable<readonly [string, string]> = []) {
    this.#links = new Map(links);
  }

  /** From here on there is a link at the path. */
  add(path: string, target: string): void {
    this.#links.set(path, target);
  }

  /** From here on something else is at the path. */
  remove(path: string): void {
    this.#links.delete(path);
  }

  /** The path with the links in its folders followed; what its last part is does not matter. */
  resolve(path: string): string {
    if (this.#links.size === 0) return path;
    const left = path.split("/").toReversed();
    const done: string[] = [];
    let hops = 0;
    let parts = 0;
    for (let part = left.pop(); part !== undefined; part = left.pop()) {
      parts += 1;
      if (parts > partsMax) throw tooLong(path);
      if (part === "" || part === ".") continue;
      if (part === "..") {
        done.pop();
        continue;
      }
      done.push(part);
      const target = left.length === 0 ? undefined : this.#links.get(done.join("/"));
      if (target === undefined) continue;
      hops += 1;
      if (hops > hopsMax) throw tooLong(path);
      done.pop();
      if (target.startsWith("/")) done.length = 0;
      left.push(...target.split("/").toReversed());
    }
    return done.join("/");
  }
}

function tooLong(path: string): Fault {
  return malformed(`"${path.slice(0, 200)}" leads through too many links`);
}
