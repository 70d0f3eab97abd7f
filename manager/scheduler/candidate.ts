/**
 * A node as it stands while tasks are being placed: what it has, less what its tasks hold, less what was placed on it since.
 * Scratch: it lives for one plan.
 */
import { create } from "@bufbuild/protobuf";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type GenericResource, GenericResourceSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { kindOf } from "#proto/generic-resource.ts";
import type { PortKey } from "../allocator/port-book.ts";
import type { Needs } from "./needs.ts";
import { type Holding, Tally } from "./tally.ts";

/** A task that has no node yet, for which others give way on this one. Lower priorities cannot have its room. */
interface Claim {
  readonly taskId: string;
  readonly needs: Needs;
}

export class Candidate {
  readonly node: Node;
  /** Wanted tasks in all. */
  tasks: number;
  /** Of the group that is being placed: its service's wanted tasks, whether its version keeps failing here. */
  ofService = 0;
  lastResort = false;
  /** The number of the group that has looked at it last. */
  seenBy = 0;
  readonly #base: Tally;
  #placed: Tally | undefined;
  #claims: readonly Claim[] = [];

  constructor(node: Node, base: Tally) {
    this.node = node;
    this.tasks = base.tasks;
    this.#base = base;
  }

  /** What users know it by. */
  get name(): string {
    return this.node.description?.hostname || this.node.id;
  }

  place(holding: Holding): void {
    this.#add(holding, 1);
    this.ofService++;
  }

  /** As if a task that is here were not. */
  remove(holding: Holding): void {
    this.#add(holding, -1);
  }

  restore(holding: Holding): void {
    this.#add(holding, 1);
  }

  #add(holding: Holding, sign: 1 | -1): void {
    this.#placed ??= new Tally();
    this.#placed.add(holding, sign);
    if (holding.wanted) this.tasks += sign;
  }

  claim(taskId: string, needs: Needs): void {
    this.#claims = [...this.#claims, { taskId, needs }];
  }

  dropClaim(taskId: string): void {
    this.#claims = this.#claims.filter((claim) => claim.taskId !== taskId);
  }

  /** Whether there would be room for all claims together. */
  allClaimsFit(fits: (needs: Needs) => boolean): boolean {
    const claims = this.#claims;
    const all = claims.every((claim) => {
      // None stands in its own way.
      this.#claims = claims.filter((other) => other !== claim);
      return fits(claim.needs);
    });
    this.#claims = claims;
    return all;
  }

  wantedOf(serviceId: string): number {
    return (
      this.#base.ofService(serviceId).wanted + (this.#placed?.ofService(serviceId).wanted ?? 0)
    );
  }

  presentOf(serviceId: string): number {
    return (
      this.#base.ofService(serviceId).present + (this.#placed?.ofService(serviceId).present ?? 0)
    );
  }

  /** Whether a task here is of lower priority, be it one that stops. */
  hasBelow(priority: number): boolean {
    return this.#base.hasBelow(priority) || this.#placed?.hasBelow(priority) === true;
  }

  nanoCpusFree(priority: number): number {
    const claimed = this.#claimed(priority, ({ nanoCpus }) => nanoCpus);
    return this.nanoCpus - this.nanoCpusHeld - claimed;
  }

  memoryFree(priority: number): number {
    const claimed = this.#claimed(priority, ({ memoryBytes }) => memoryBytes);
    return this.memoryBytes - this.memoryHeld - claimed;
  }

  /** How many of a kind of generic resource are free, counted or named. */
  genericFree(kind: string, priority: number): number {
    const claimed = this.#claimed(priority, ({ generic }) => generic.get(kind) ?? 0);
    return this.#freePieces(kind).length + this.#freeCount(kind) - claimed;
  }

  hasPort(port: PortKey, priority: number): boolean {
    const users = this.#base.usersOfPort(port) + (this.#placed?.usersOfPort(port) ?? 0);
    return users > 0 || this.#claimed(priority, (needs) => (needs.hostPorts.has(port) ? 1 : 0)) > 0;
  }

  /** What a task gets of the kinds that it asks for. */
  grant(needs: Needs): readonly GenericResource[] {
    return [...needs.generic].flatMap(([kind, count]) => {
      const names = this.#freePieces(kind).slice(0, count);
      if (names.length > 0) return names.map((value) => named(kind, value));
      return [discrete(kind, count)];
    });
  }

  /** What a node offers. One that has not described itself offers nothing that could be reserved. */
  get nanoCpus(): number {
    return Number(this.node.description?.resources?.nanoCpus ?? 0n);
  }

  get memoryBytes(): number {
    return Number(this.node.description?.resources?.memoryBytes ?? 0n);
  }

  get nanoCpusHeld(): number {
    return this.#base.nanoCpus + (this.#placed?.nanoCpus ?? 0);
  }

  get memoryHeld(): number {
    return this.#base.memoryBytes + (this.#placed?.memoryBytes ?? 0);
  }

  #claimed(priority: number, amountOf: (needs: Needs) => number): number {
    let sum = 0;
    for (const { needs } of this.#claims) if (needs.priority >= priority) sum += amountOf(needs);
    return sum;
  }

  #freePieces(kind: string): readonly string[] {
    return (this.node.description?.resources?.generic ?? []).flatMap((one) => {
      const { resource } = one;
      if (resource.case !== "named" || kindOf(one) !== kind) return [];
      const { value } = resource.value;
      const users =
        this.#base.usersOfPiece(kind, value) + (this.#placed?.usersOfPiece(kind, value) ?? 0);
      return users > 0 ? [] : [value];
    });
  }

  #freeCount(kind: string): number {
    const has = (this.node.description?.resources?.generic ?? []).find(
      (one) => one.resource.case === "discrete" && kindOf(one) === kind,
    );
    if (has?.resource.case !== "discrete") return 0;
    return (
      Number(has.resource.value.value) -
      this.#base.countOf(kind) -
      (this.#placed?.countOf(kind) ?? 0)
    );
  }
}

function named(kind: string, value: string): GenericResource {
  return create(GenericResourceSchema, { resource: { case: "named", value: { kind, value } } });
}

function discrete(kind: string, count: number): GenericResource {
  const value = { kind, value: BigInt(count) };
  return create(GenericResourceSchema, { resource: { case: "discrete", value } });
}
