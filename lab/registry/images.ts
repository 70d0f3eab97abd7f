/**
 * The test images of a lab. Each is built once per machine from Debian's packages, into a cache folder, as an OCI layout;
 * the folder's name carries the recipe's version, so that a changed recipe is another image.
 */
import { copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Fault } from "#proto/fault.ts";
import { type EnsureOptions, ensureCached } from "../cache.ts";
import { mmdebstrap } from "../mmdebstrap.ts";
import { run } from "../process.ts";
import { type ImageContent, outputOf, tarOfFolder, writeLayout } from "./oci-layout.ts";

export type ImageName = "busybox" | "debian";

interface Recipe {
  readonly tag: string;
  /** To be raised with every change of what is built. */
  readonly version: number;
  /** Makes the content in the folder, which is removed afterwards. */
  readonly build: (work: string, signal: AbortSignal | undefined) => Promise<ImageContent>;
}

const recipes: Readonly<Record<ImageName, Recipe>> = {
  busybox: { tag: "1", version: 1, build: buildBusybox },
  debian: { tag: "12", version: 2, build: buildDebian },
};

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export const imageNames = Object.keys(recipes) as readonly ImageName[];

export function parseImageName(text: string): ImageName {
  const name = imageNames.find((known) => known === text);
  if (name !== undefined) return name;
  const known = imageNames.join(", ");
  throw new Fault("invalid-argument", `there is no test image "${text}": the images are ${known}`);
}

/** What the image is called in a lab's registry, such as "busybox:1". */
export function repositoryTag(name: ImageName): string {
  return `${name}:${recipes[name].tag}`;
}

/** The image's layout, built if this machine does not have it yet. */
export async function ensureImage(name: ImageName, options: EnsureOptions = {}): Promise<string> {
  const recipe = recipes[name];
  const build = async (work: string, signal: AbortSignal | undefined) => {
    await writeLayout(join(work, "result"), await recipe.build(work, signal));
  };
  const entry = { name: `${name}-${recipe.tag}-v${recipe.version}`, build };
  return await ensureCached({ ...entry, what: `the test image "${name}"` }, options);
}

/** Debian's static busybox with every applet as a link, as an image of one layer. */
async function buildBusybox(work: string, signal: AbortSignal | undefined): Promise<ImageContent> {
  const root = join(work, "root");
  const folders = ["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var"];
  for (const folder of folders) await mkdir(join(root, folder), { recursive: true });
  const options = signal === undefined ? {} : { signal };
  const program = (await run(["sh", "-c", "command -v busybox"], options)).trim();
  await copyFile(program, join(root, "bin", "busybox"));
  const applets = (await run([program, "--list"], options)).trim().split("\n");
  for (const applet of applets) {
    if (applet !== "busybox") await symlink("busybox", join(root, "bin", applet));
  }
  await run(["chmod", "1777", join(root, "tmp")], options);
  await writeFile(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  );
  await writeFile(join(root, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
  return { layers: [() => tarOfFolder(root)], config: { Env: [path], Cmd: ["sh"] } };
}

/** A minimal Debian 12 as one layer, nginx and redis as the next. */
async function buildDebian(work: string, signal: AbortSignal | undefined): Promise<ImageContent> {
  const script = fileURLToPath(new URL("debian.sh", import.meta.url));
  const hook = `--customize-hook=sh '${script}' '${work}' "$1"`;
  const recipe = { suite: "bookworm", target: "/dev/null", work, options: [hook], signal };
  await mmdebstrap(recipe);
  const layer = (name: string) => () => outputOf(["cat", join(work, name)]);
  const layers = [layer("base.tar"), layer("apps.tar")];
  return { layers, config: { Env: [path], Cmd: ["bash"] } };
}
