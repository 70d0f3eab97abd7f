/**
 * How a manager comes to its log: it is there, it is begun, it is joined, it is taken on alone, or it is made from a
 * backup. Each way ends with a file that holds one life of the log, and this server's place in it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { NodeAvailability, NodeDescriptionSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Connection } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import type { ManagerStart } from "#proto/manager-messages.ts";
import type { Ports } from "#proto/ports.ts";
import { type Backup, parseBackup } from "./backup/backup-file.ts";
import { restoreState } from "./backup/restore-state.ts";
import {
  createStorage,
  type KeyEncryption,
  openStorage,
  type RaftStorage,
  renewStorage,
} from "./log/raft-storage.ts";
import type { Membership } from "./raft/contract.ts";
import { joinGroup } from "./replication/join.ts";
import { contextOf } from "./replication/member.ts";
import { randomServerId } from "./replication/members.ts";

export interface OpenLogOptions {
  readonly start: ManagerStart;
  readonly dataRoot: string;
  /** Where other managers reach this one, HOST:PORT. */
  readonly address: string;
  readonly nodeId: string;
  /** What the managers lock their files with; empty: they do not. */
  readonly unlockKey: string;
}

export interface OpenLogModules extends Ports {
  /** Shows this manager's certificate; only where it joins. */
  readonly connect: (address: string) => Connection;
}

export async function openLog(
  options: OpenLogOptions,
  modules: OpenLogModules,
): Promise<RaftStorage> {
  const { start, nodeId, address } = options;
  const place = {
    path: join(options.dataRoot, "manager", "log.db"),
    keyEncryption: keyEncryptionOf(options.unlockKey),
  };
  const context = contextOf({ nodeId, address });
  const { random } = modules;
  const newLife = () => ({ group: newId(random), serverId: randomServerId(random) });
  switch (start.how) {
    case "resume":
      return openStorage(place, modules);
    case "force-new-cluster":
      return renewStorage({ ...place, ...newLife(), context }, modules);
    case "found": {
      const life = newLife();
      const membership = alone(life.serverId, context);
      const snapshot = { index: 0, term: 0, membership };
      return createStorage({ ...place, ...life, snapshot }, modules);
    }
    case "restore": {
      const life = newLife();
      const backup = await readBackup(start.path, start.unlockKey);
      const pieces = restoreState(backup, {
        nodeId,
        description: fromJson(NodeDescriptionSchema, start.description as JsonValue),
        availability: NodeAvailability.ACTIVE,
        unlockKey: start.unlockKey,
        nowMs: modules.clock.now(),
      });
      const membership = alone(life.serverId, context);
      const snapshot = { index: Number(backup.index), term: 1, membership };
      return createStorage({ ...place, ...life, snapshot, pieces }, modules);
    }
    case "join": {
      const { group, id } = await joinGroup({ managers: start.managers, address }, modules);
      const snapshot = { index: 0, term: 0, membership: { members: [], removed: [] } };
      return createStorage({ ...place, group, serverId: id, snapshot }, modules);
    }
  }
}

/** As `RaftStorage` takes it. */
export function keyEncryptionOf(unlockKey: string): KeyEncryption {
  return unlockKey === "" ? { kind: "file" } : { kind: "unlock-key", key: unlockKey };
}

function alone(id: number, context: string): Membership {
  return { members: [{ id, voter: true, context }], removed: [] };
}

async function readBackup(path: string, unlockKey: string): Promise<Backup> {
  try {
    return parseBackup(await readFile(path), unlockKey);
  } catch (thrown) {
    throw Fault.wrap("Cannot use the backup", thrown);
  }
}
