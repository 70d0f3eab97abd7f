/**
 * What each task of this host was attached to, kept for as long as its namespace: an agent that starts anew knows by it which
 * links there must be, which ports lead to them, and whose nameservers are asked for whom. Lives beside the namespaces, in memory: a reboot takes both.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { NetworkAttachment, PortConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { isId } from "#proto/ids.ts";
import type { Log } from "#proto/ports.ts";
import { addressPart } from "#proto/cidr.ts";

export interface TaskRecord {
  readonly taskId: string;
  /** With the addresses that this host chose, too. */
  readonly attachments: readonly NetworkAttachment[];
  readonly hostPorts: readonly PortConfig[];
  /** Its own; none: it has the host's. */
  readonly nameservers: readonly string[];
}

export class TaskRecords {
  readonly #root: string;
  readonly #log: Log;

  constructor(root: string, log: Log) {
    this.#root = root;
    this.#log = log;
  }

  /** One that cannot be read is as good as none: its task goes on, and nothing of its link is repaired. */
  async read(): Promise<readonly TaskRecord[]> {
    await mkdir(this.#root, { recursive: true });
    const records: TaskRecord[] = [];
    for (const name of (await readdir(this.#root)).filter(isId)) {
      try {
        const record = parseRecord(await readFile(join(this.#root, name)));
        if (record.taskId !== name) throw new Fault("data-loss", "it is of another task");
        records.push(record);
      } catch (thrown) {
        const { message } = Fault.from(thrown);
        this.#log.warn("a task's record of its networks is unusable", { task: name, message });
      }
    }
    return records;
  }

  /** Whole or not at all. */
  async save(record: TaskRecord): Promise<void> {
    const path = join(this.#root, record.taskId);
    await writeFile(`${path}.new`, serializeRecord(record));
    await rename(`${path}.new`, path);
  }

  async forget(taskIds: readonly string[]): Promise<void> {
    for (const taskId of taskIds) await rm(join(this.#root, taskId), { force: true });
  }
}

/** The part of a task that matters here. */
export function serializeRecord(record: TaskRecord): Uint8Array {
  const { taskId, attachments, hostPorts, nameservers } = record;
  const container = { dnsConfig: { nameservers: [...nameservers] } };
  const task = create(TaskSchema, {
    id: taskId,
    networks: [...attachments],
    endpoint: { ports: [...hostPorts] },
    spec: { runtime: { case: "container", value: container } },
  });
  return toBinary(TaskSchema, task);
}

export function parseRecord(bytes: Uint8Array): TaskRecord {
  const { id, networks, endpoint, spec } = fromBinary(TaskSchema, bytes);
  const container = spec?.runtime.case === "container" ? spec.runtime.value : undefined;
  return {
    taskId: id,
    attachments: networks,
    hostPorts: endpoint?.ports ?? [],
    nameservers: container?.dnsConfig?.nameservers ?? [],
  };
}

/** Address → the nameservers of the task that has it, of those that have their own. */
export function nameserversByAddress(
  records: Iterable<TaskRecord>,
): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const { attachments, nameservers } of records) {
    if (nameservers.length === 0) continue;
    for (const text of attachments.flatMap(({ addresses }) => addresses)) {
      found.set(addressPart(text), nameservers);
    }
  }
  return found;
}
