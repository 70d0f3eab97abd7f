/**
 * A part of a volume as a mount of its own. Containers write to volumes while others start, so what a name means may change
 * between looking and mounting: each name is opened relative to the folder before it, no link is ever followed, and what is
 * mounted is what was opened.
 */
import { mkdir, open, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import { parseSubpath } from "#proto/volume-rules.ts";
import type { Exec } from "../exec.ts";

/** From open(2), which Node does not name: open a place, not its content. */
const oPath = 0x20_0000;
const oNofollow = 0x2_0000;

export interface SubpathWish {
  readonly root: string;
  readonly subpath: string;
  /** Where it shall be mounted; made here. */
  readonly target: string;
}

export async function mountSubpath(wish: SubpathWish, exec: Exec): Promise<void> {
  const { root, subpath, target } = wish;
  await using scope = new AsyncDisposableStack();
  let place = scope.use(await open(root, oPath | oNofollow));
  for (const name of parseSubpath(subpath)) {
    const stat = await place.stat();
    if (!stat.isDirectory()) throw refusal(subpath, "leads through something that is no folder");
    place = scope.use(await openIn(place.fd, name, subpath));
  }
  const stat = await place.stat();
  if (!stat.isDirectory() && !stat.isFile()) {
    throw refusal(subpath, "is neither a folder nor a file");
  }
  await mkdir(stat.isDirectory() ? target : dirname(target), { recursive: true });
  if (stat.isFile()) await writeFile(target, "");
  // As it is opened: mount(8) must not look at names again.
  const source = `/proc/${process.pid}/fd/${place.fd}`;
  await exec.run("mount", ["--no-canonicalize", "--bind", source, target]);
}

async function openIn(folder: number, name: string, subpath: string) {
  try {
    const place = await open(`/proc/self/fd/${folder}/${name}`, oPath | oNofollow);
    if (!(await place.stat()).isSymbolicLink()) return place;
    await place.close();
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT")
      throw refusal(subpath, `does not exist: there is no "${name}"`);
    throw Fault.wrap(`Cannot open the subpath "${subpath}"`, thrown);
  }
  throw refusal(subpath, `leads through the link "${name}", which could lead out of the volume`);
}

function refusal(subpath: string, problem: string): Fault {
  return new Fault("failed-precondition", `the subpath "${subpath}" of the volume ${problem}`);
}
