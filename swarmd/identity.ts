/**
 * Who this host is in which cluster: the file `node.json` of the data root. Absent: the host belongs to no cluster.
 * Written whole to a new file, synced and renamed, so that a crash leaves the old one or the new one.
 */
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";

export interface Identity {
  readonly nodeId: string;
  /** The node's only credential: the file is readable by root alone. */
  readonly nodeSecret: string;
  readonly clusterId: string;
  readonly number: number;
  readonly role: "manager" | "worker";
  /** host:port of managers, best first. */
  readonly managers: readonly string[];
  readonly dataPathAddress: string;
  /** For managers: where the manager listens. */
  readonly listenAddress: string;
  readonly advertiseAddress: string;
}

export async function readIdentity(path: string): Promise<Identity | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot read the node's identity in "${path}"`, thrown);
  }
  return parseIdentity(text, path);
}

export async function writeIdentity(path: string, identity: Identity): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.new`;
  const file = await open(fresh, "w", 0o600);
  try {
    await file.writeFile(`${JSON.stringify(identity, undefined, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, path);
  // Until the folder is synced, a power loss may bring the old name back.
  const folder = await open(dirname(path));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

const strings = [
  "nodeId",
  "nodeSecret",
  "clusterId",
  "dataPathAddress",
  "listenAddress",
  "advertiseAddress",
] as const;

function parseIdentity(text: string, path: string): Identity {
  const damaged = (why: string, cause?: unknown) =>
    new Fault("data-loss", `Cannot use the node's identity in "${path}": ${why}`, { cause });
  let value: Partial<Record<keyof Identity, unknown>>;
  try {
    value = Object(JSON.parse(text));
  } catch (thrown) {
    throw damaged("it is not JSON", thrown);
  }
  for (const key of strings) {
    if (typeof value[key] !== "string") throw damaged(`"${key}" is missing`);
  }
  const { role, number, managers } = value;
  if (role !== "manager" && role !== "worker")
    throw damaged('"role" is neither manager nor worker');
  if (!Number.isInteger(number)) throw damaged('"number" is not an integer');
  if (!Array.isArray(managers) || managers.some((address) => typeof address !== "string")) {
    throw damaged('"managers" is not a list of addresses');
  }
  return value as unknown as Identity;
}
