/**
 * Bundles of two versions. The older one is this tree as it is. The newer one is this tree with what a next release would have:
 * a field in the contract that this version does not know, which its control API takes and its store keeps.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

const root = fileURLToPath(new URL("../..", import.meta.url));

export const olderVersion = "0.1.0";
export const newerVersion = "0.2.0";

const sources =
  "agent bundle manager package proto provision registry stacks swarmctl swarmd".split(" ");
const files = ["package.json", "tsconfig.json", "buf.yaml", "buf.gen.yaml"];

/** The field of Annotations that the newer version has. */
const newFieldNumber = 100;

interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const edits: readonly Edit[] = [
  {
    file: "proto/swarm/v1/types.proto",
    from: "message Annotations {\n",
    to: `message Annotations {\n  string newer_wish = ${newFieldNumber};\n`,
  },
  {
    file: "manager/spec/supported.ts",
    from: '"swarm.v1.Annotations": ["name", "labels"]',
    to: '"swarm.v1.Annotations": ["name", "labels", "newer_wish"]',
  },
];

/** The wish as a client of this version says it: as a field that it does not know. */
export function newWish(text: string) {
  const data = new BinaryWriter().string(text).finish();
  return { no: newFieldNumber, wireType: WireType.LengthDelimited, data };
}

export interface TwoVersions {
  /** Folders with bundles. */
  readonly older: string;
  readonly newer: string;
}

export function buildTwoVersions(folder: string): TwoVersions {
  const [older, newer, tree] = [join(folder, "older"), join(folder, "newer"), join(folder, "tree")];
  bundle(root, older, olderVersion);
  mkdirSync(tree);
  for (const name of [...sources, ...files])
    cpSync(join(root, name), join(tree, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
  for (const { file, from, to } of edits) {
    const text = readFileSync(join(tree, file), "utf8");
    if (!text.includes(from)) throw new Error(`${file} has no "${from}" any more`);
    writeFileSync(join(tree, file), text.replace(from, to));
  }
  run(join(root, "node_modules/.bin/buf"), ["generate"], tree);
  bundle(tree, newer, newerVersion);
  return { older, newer };
}

function bundle(tree: string, target: string, version: string): void {
  const options = JSON.stringify({ target, version });
  const program = `const { writeBundle } = await import("./bundle/bundle.ts"); await writeBundle(${options});`;
  run(process.execPath, ["--input-type=module", "--eval", program], tree);
}

function run(command: string, args: readonly string[], cwd: string): void {
  const path = `${join(root, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`;
  const { status, stderr } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, PATH: path },
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}: ${stderr}`);
}
