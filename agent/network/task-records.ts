/**
 * What each task of this host was attached to, kept for as long as its namespace: an agent that starts anew knows by it which
 * links there must be and which ports lead to them. Lives beside the namespaces, in memory: a reboot takes both.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { NetworkAttachment, PortConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { isId } from "#proto/ids.ts";
import type { Log } from "#proto/ports.ts";

export interface TaskRecord {
  readonly taskId: string;
  /** With the addresses that this host chose, too. */
  readonly attachments: readonly NetworkAttachment[];
  readonly hostPorts: readonly PortConfig[];
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

export function serializeRecord({ taskId, attachments, hostPorts }: TaskRecord): Uint8Array {
  const task = create(TaskSchema, {
    id: taskId,
    networks: [...attachments],
    endpoint: { ports: [...hostPorts] },
  });
  return toBinary(TaskSchema, task);
}

export function parseRecord(bytes: Uint8Array): TaskRecord {
  const { id, networks, endpoint } = fromBinary(TaskSchema, bytes);
  return { taskId: id, attachments: networks, hostPorts: endpoint?.ports ?? [] };
}
