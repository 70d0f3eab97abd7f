/** Users, who wish this and that of any manager that answers. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  CreateServiceRequestSchema,
  PromoteServiceRequestSchema,
  RebalanceServiceRequestSchema,
  RemoveServiceRequestSchema,
  UpdateNodeRequestSchema,
  UpdateServiceRequestSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import type { Node, Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type NodeSpec, NodeSpecSchema, type ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { AnnotationsSchema, NodeAvailability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { CallContext } from "#proto/grpc.ts";
import type { SimulatedManager } from "./manager.ts";
import { changedService, drawService, soundService, zones } from "./specs.ts";
import { hop, type World } from "./world.ts";

/** What users must live with: another was faster, or nobody can answer now. */
const usual: ReadonlySet<string> = new Set([
  "conflict",
  "unavailable",
  "deadline-exceeded",
  "not-found",
  "already-exists",
  "failed-precondition",
  "canceled",
  "unimplemented",
]);

const call: CallContext = {
  signal: new AbortController().signal,
  metadata: new Map(),
  peer: "user:1",
  caller: { kind: "user", name: "user", clusterId: "cluster" },
};

export class Users {
  readonly #world: World;
  #services = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Wishes until nothing goes wrong any more. */
  start(): void {
    const { agenda, random, profile } = this.#world;
    agenda.after(random.between(0, 2 * profile.wishEveryMs), () => {
      if (!this.#world.faulty) return;
      this.#wish();
      this.start();
    });
  }

  /** The last word: what can never run is replaced, what waits for a user goes on, and no node keeps old tasks as they are. */
  async mend(): Promise<void> {
    await this.#insist(async (manager) => {
      await manager.seat.barrier();
      for (const node of manager.store.list("node")) await this.#activate(manager, node);
      for (const { id } of manager.store.list("service")) await this.#mendService(id);
    });
  }

  async #activate({ control }: SimulatedManager, { id, spec, meta }: Node): Promise<void> {
    if (spec?.availability !== NodeAvailability.PAUSE) return;
    const active = { ...spec, availability: NodeAvailability.ACTIVE };
    const init = { ref: id, spec: active, ...(meta?.version && { version: meta.version }) };
    await control.updateNode(create(UpdateNodeRequestSchema, init), call);
  }

  #mendService(id: string): Promise<void> {
    return this.#insist(async (manager) => {
      await manager.seat.barrier();
      const service = manager.store.get("service", id);
      if (service?.spec === undefined) return;
      await this.#update(manager, service, soundService(service.spec, this.#world.random));
    });
  }

  /** Until a manager has done it. */
  async #insist(wish: (manager: SimulatedManager) => Promise<void>): Promise<void> {
    for (;;) {
      const manager = this.#manager();
      if (manager !== undefined && (await this.#attempt(() => wish(manager)))) return;
      await this.#world.clock.sleep(100);
    }
  }

  #wish(): void {
    const manager = this.#manager();
    if (manager === undefined) return;
    void this.#attempt(async () => {
      await hop(this.#world);
      // As the control API does before it answers.
      await manager.seat.barrier();
      if (manager.isUp && this.#world.faulty) await this.#wishOf(manager);
    });
  }

  async #wishOf(manager: SimulatedManager): Promise<void> {
    const { random, profile } = this.#world;
    const services = manager.store.list("service");
    const service = random.pick(services);
    const choice = random.fraction();
    if (service === undefined || (choice < 0.25 && services.length < profile.servicesMax)) {
      return this.#create(manager);
    }
    if (choice < 0.5) return this.#change(manager, service);
    if (choice < 0.68) return this.#scale(manager, service);
    if (choice < 0.74) return this.#rollBack(manager, service);
    if (choice < 0.78) return this.#promote(manager, service);
    if (choice < 0.81) return this.#rebalance(manager, service);
    if (choice < 0.86) return this.#remove(manager, service);
    return this.#changeNode(manager);
  }

  async #create({ control }: SimulatedManager): Promise<void> {
    const { random, profile, marks } = this.#world;
    this.#services += 1;
    const spec = drawService(`s${this.#services}`, random, profile.failureChance);
    await control.createService(create(CreateServiceRequestSchema, { spec }), call);
    marks.add("services created");
  }

  async #change(manager: SimulatedManager, service: Service): Promise<void> {
    const { random, profile, marks } = this.#world;
    if (service.spec === undefined) return;
    await this.#update(
      manager,
      service,
      changedService(service.spec, random, profile.failureChance),
    );
    marks.add("services updated");
  }

  async #scale(manager: SimulatedManager, service: Service): Promise<void> {
    const { random, marks } = this.#world;
    const { spec } = service;
    if (spec?.mode.case !== "replicated") return;
    const value = { ...spec.mode.value, replicas: BigInt(random.int(8)) };
    await this.#update(manager, service, { ...spec, mode: { case: "replicated", value } });
    marks.add("services scaled");
  }

  async #rollBack({ control }: SimulatedManager, { id, meta }: Service): Promise<void> {
    const init = { ref: id, rollback: true, ...(meta?.version && { version: meta.version }) };
    await control.updateService(create(UpdateServiceRequestSchema, init), call);
    this.#world.marks.add("services rolled back");
  }

  async #promote({ control }: SimulatedManager, { id }: Service): Promise<void> {
    await control.promoteService(create(PromoteServiceRequestSchema, { ref: id }), call);
    this.#world.marks.add("canaries promoted");
  }

  async #rebalance({ control }: SimulatedManager, { id }: Service): Promise<void> {
    await control.rebalanceService(create(RebalanceServiceRequestSchema, { ref: id }), call);
    this.#world.marks.add("services rebalanced");
  }

  async #remove({ control }: SimulatedManager, { id }: Service): Promise<void> {
    await control.removeService(create(RemoveServiceRequestSchema, { ref: id }), call);
    this.#world.marks.add("services removed");
  }

  async #changeNode({ store, control }: SimulatedManager): Promise<void> {
    const { random, marks } = this.#world;
    const node = random.pick(store.list("node"));
    if (node?.spec === undefined) return;
    const spec = this.#changedNode(node.spec);
    const init = { ref: node.id, spec, ...(node.meta?.version && { version: node.meta.version }) };
    await control.updateNode(create(UpdateNodeRequestSchema, init), call);
    const { availability } = spec;
    if (availability === node.spec.availability) marks.add("labels changed");
    else if (availability === NodeAvailability.DRAIN) marks.add("nodes drained");
    else if (availability === NodeAvailability.PAUSE) marks.add("nodes paused");
  }

  #changedNode(before: NodeSpec): NodeSpec {
    const { random } = this.#world;
    if (random.chance(0.3)) {
      const labels = { zone: random.pick(zones) ?? "a" };
      const annotations = create(AnnotationsSchema, { labels });
      return create(NodeSpecSchema, { ...before, annotations });
    }
    const { ACTIVE, DRAIN, PAUSE } = NodeAvailability;
    const availability = random.pick([ACTIVE, ACTIVE, DRAIN, PAUSE]) ?? ACTIVE;
    return create(NodeSpecSchema, { ...before, availability });
  }

  async #update({ control }: SimulatedManager, service: Service, spec: ServiceSpec): Promise<void> {
    const { id, meta } = service;
    const init = { ref: id, spec, ...(meta?.version && { version: meta.version }) };
    await control.updateService(create(UpdateServiceRequestSchema, init), call);
  }

  /** Whether it was done. What is no usual answer ends the run. */
  async #attempt(wish: () => Promise<void>): Promise<boolean> {
    try {
      await wish();
      return true;
    } catch (thrown) {
      const fault = Fault.from(thrown);
      this.#world.trace.add("user", () => `is refused: ${fault.message}`);
      if (!usual.has(fault.code)) this.#world.failure ??= fault;
      return false;
    }
  }

  #manager(): SimulatedManager | undefined {
    const { managers, random } = this.#world;
    return random.pick([...managers.values()].filter(({ isUp }) => isUp));
  }
}
