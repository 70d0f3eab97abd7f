/**
 * What this node last knew of networks, services, endpoints and peers, kept in a file so that routes and names go on when the
 * daemon starts while no manager can be reached. Tasks are not in it: the worker keeps its own.
 *
 * A digest stands before the message: a file that is not whole is worth nothing. It is not synced, because what it
 * describes, the kernel's state, does not survive a power loss either.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { errnoOf, Fault } from "#proto/fault.ts";
import {
  type Assignment,
  AssignmentsResponse_Type as Type,
  type RememberedAssignments,
  RememberedAssignmentsSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { type Assigned, applyAssignments, nothingAssigned } from "./assigned.ts";

/** Assignments come many at a time, and a large cluster's take a while to write. */
const settleMs = 2_000;

const digestBytes = 32;

/** Some 2 ms of work. */
const itemsPerPiece = 500;

export class AssignedFile implements AsyncDisposable {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Log;
  #newest: Assigned | undefined;
  #timer: Disposable | undefined;
  #writing: Promise<void> = Promise.resolve();
  #written: Buffer | undefined;

  constructor(options: { path: string }, modules: { clock: Clock; log: Log }) {
    this.#path = options.path;
    this.#clock = modules.clock;
    this.#log = modules.log;
  }

  /** undefined: nothing is remembered, or what is cannot be used, which is logged. */
  async read(): Promise<Assigned | undefined> {
    try {
      return parseAssigned(await readFile(this.#path));
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOENT") return undefined;
      this.#log.warn("what this node knew of its networks is lost until a manager tells it again", {
        path: this.#path,
        error: Fault.from(thrown).message,
      });
      return undefined;
    }
  }

  /** Written a moment later, with what changes meanwhile. */
  save(assigned: Assigned): void {
    this.#newest = assigned;
    this.#timer ??= this.#clock.timer(settleMs, () => void this.#flush());
  }

  /** Writes what still waits. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#flush();
  }

  #flush(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    // One at a time: they share the name of the new file.
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const newest = this.#newest;
    if (newest === undefined) return;
    this.#newest = undefined;
    const bytes = await serializeAssigned(newest);
    if (this.#written?.equals(bytes) === true) return;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      const fresh = `${this.#path}.new`;
      await writeFile(fresh, bytes, { mode: 0o600 });
      await rename(fresh, this.#path);
      this.#written = bytes;
    } catch (thrown) {
      this.#log.warn("cannot remember what this node knows of its networks", {
        path: this.#path,
        error: Fault.from(thrown).message,
      });
    }
  }
}

/** In pieces, between which the agent's other work has its turn: each network may bring ten thousand endpoints. */
export async function serializeAssigned(assigned: Assigned): Promise<Buffer> {
  const items: Assignment["item"][] = [
    ...[...assigned.networks.values()].map((value) => ({ case: "network" as const, value })),
    ...[...assigned.endpoints.values()].map((value) => ({ case: "endpoint" as const, value })),
    ...[...assigned.peers.values()].map((value) => ({ case: "peer" as const, value })),
    ...[...assigned.services.values()].map((value) => ({ case: "service" as const, value })),
  ];
  const pieces = [serializeItems([], assigned.dataPathPort)];
  for (let start = 0; start < items.length; start += itemsPerPiece) {
    pieces.push(serializeItems(items.slice(start, start + itemsPerPiece)));
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  const bytes = Buffer.concat(pieces);
  return Buffer.concat([digest(bytes), bytes]);
}

/** Of one message: in protobuf, messages one behind the other are one, with the items of all. */
function serializeItems(items: readonly Assignment["item"][], dataPathPort = 0): Uint8Array {
  const changes = items.map((item) => ({ assignment: { item } }));
  const message = create(RememberedAssignmentsSchema, {
    assignments: { type: Type.COMPLETE, changes },
    dataPathPort,
  });
  return toBinary(RememberedAssignmentsSchema, message);
}

/** A Fault "data-loss" for anything that is not the whole of what `serializeAssigned` gave. */
export function parseAssigned(file: Buffer): Assigned {
  const bytes = file.subarray(digestBytes);
  if (!digest(bytes).equals(file.subarray(0, digestBytes))) {
    throw new Fault("data-loss", "the file is damaged");
  }
  const { assignments, dataPathPort } = parseMessage(bytes);
  if (assignments === undefined) throw new Fault("data-loss", "the file is of another version");
  return applyAssignments({ ...nothingAssigned, dataPathPort }, assignments);
}

function parseMessage(bytes: Uint8Array): RememberedAssignments {
  try {
    return fromBinary(RememberedAssignmentsSchema, bytes);
  } catch (thrown) {
    throw new Fault("data-loss", "the file is of another version", { cause: thrown });
  }
}

function digest(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
