/**
 * Who this host is in which cluster: the file `node.json` of the data root. Absent: the host belongs to no cluster.
 * It holds no secret; the node's key is in certificates.ts. A crash leaves the old file or the new one.
 */
import { readFile } from "node:fs/promises";
import { errnoOf, Fault } from "#proto/fault.ts";
import { writeDurably } from "./durable-file.ts";

export type Role = "manager" | "worker";

export interface Identity {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly number: number;
  /** Whether a manager runs here, or is to. What the certificate says may differ for a while: see member.ts. */
  readonly role: Role;
  /** host:port of managers. */
  readonly managers: readonly string[];
  readonly dataPathAddress: string;
  /** Where the manager listens when there is one. */
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
  await writeDurably(path, `${JSON.stringify(identity, undefined, 2)}\n`);
}

const strings = [
  "nodeId",
  "clusterId",
  "dataPathAddress",
  "listenAddress",
  "advertiseAddress",
] as const;

function parseIdentity(text: string, path: string): Identity {
  const damaged = (why: string, cause?: unknown) => {
    const advice = `put the file back, or move it and the folder "manager" beside it away, and join the cluster again`;
    const message = `Cannot use the node's identity in "${path}": ${why}; ${advice}`;
    return new Fault("data-loss", message, { cause });
  };
  let value: Partial<Record<keyof Identity, unknown>>;
  try {
    value = Object(JSON.parse(text));
  } catch (thrown) {
    throw damaged("it is not JSON", thrown);
  }
  if ("nodeSecret" in value) {
    throw new Fault(
      "failed-precondition",
      `Cannot use the node's identity in "${path}": it is of a version without certificates; move it and the folder "manager" beside it away, and join the cluster again`,
    );
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
