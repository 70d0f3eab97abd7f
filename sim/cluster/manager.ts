/**
 * One manager as a process: the real store, leader's parts, dispatcher and control API, on a simulated log. Lost, it forgets
 * all that is not in the log, and comes up again from a snapshot of another or from the log's beginning.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { nodeHandlers } from "#manager/control/node.ts";
import { networkHandlers } from "#manager/control/network.ts";
import { serviceHandlers } from "#manager/control/service.ts";
import { Dispatcher } from "#manager/dispatcher/dispatcher.ts";
import { type Leadership, startLeader } from "#manager/leader.ts";
import { Leading } from "#manager/leading.ts";
import { Store } from "#manager/store/store.ts";
import { Fault } from "#proto/fault.ts";
import type { ReportBeatsRequestSchema } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { CallContext } from "#proto/grpc.ts";
import { Seat } from "./journal.ts";
import { simulatedPorts } from "./ports.ts";
import { hop, type World } from "./world.ts";

/** What a manager's process is made of. */
interface Process {
  readonly store: Store;
  readonly seat: Seat;
  readonly leading: Leading<Leadership>;
  readonly dispatcher: Dispatcher;
  readonly control: Control;
}

type Control = ReturnType<typeof serviceHandlers> &
  Pick<ReturnType<typeof nodeHandlers>, "updateNode"> &
  Pick<ReturnType<typeof networkHandlers>, "createNetwork">;

export class SimulatedManager {
  readonly nodeId: string;
  readonly #world: World;
  #process: Process | undefined;

  constructor(nodeId: string, world: World) {
    this.nodeId = nodeId;
    this.#world = world;
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  get store(): Store {
    return this.#up.store;
  }

  get seat(): Seat {
    return this.#up.seat;
  }

  get dispatcher(): Dispatcher {
    return this.#up.dispatcher;
  }

  get control(): Control {
    return this.#up.control;
  }

  get #up(): Process {
    if (this.#process === undefined) throw new Fault("unavailable", "this manager is down");
    return this.#process;
  }

  /** With the state of another's store, or from the first entry on. */
  async start(from?: SimulatedManager): Promise<void> {
    const world = this.#world;
    const ports = simulatedPorts({ ...world, who: this.nodeId });
    const store = new Store(ports);
    store.watch((commit) => world.checks.onCommit(commit, store));
    let applied = 0;
    if (from?.isUp === true) {
      const pieces = [...from.store.snapshot()];
      applied = from.seat.applied;
      await store.restore(BigInt(applied), pieces);
    }
    const self = { nodeId: this.nodeId, address: this.nodeId };
    const seat = new Seat(self, { journal: world.journal, machine: store, applied });
    store.attach(seat);
    const modules = { ...ports, store, replication: seat };
    const leading = new Leading({
      ...modules,
      startLeader: () => startLeader({ nodeId: this.nodeId }, modules),
    });
    leading.failed.catch((thrown: unknown) => this.#onFailed(seat, thrown));
    const dispatcher = new Dispatcher(
      { nodeId: this.nodeId },
      {
        ...modules,
        authenticate: (context) => authenticate(store, context),
        logSubscriptions: {
          subscriptionsFor: () => [],
          watchSubscriptions: () => ({ [Symbol.dispose]: () => undefined }),
        },
        nodeLiveness: () => (seat.leading ? leading.scope?.nodeLiveness : undefined),
        leader: () => this.#leader(),
      },
    );
    dispatcher.failed.catch((thrown: unknown) => this.#onFailed(seat, thrown));
    const images = { resolve: (image: string) => Promise.resolve({ image, platforms: [] }) };
    const control = {
      ...serviceHandlers({ ...modules, images }),
      ...nodeHandlers(modules),
      ...networkHandlers(modules),
    };
    this.#process = { store, seat, leading, dispatcher, control };
  }

  /** As a process that is killed: it says nothing any more, and nobody waits for it. */
  kill(): void {
    if (this.#process === undefined) return;
    const { seat, leading, dispatcher } = this.#process;
    this.#process = undefined;
    seat.leave();
    void leading[Symbol.asyncDispose]().catch(() => undefined);
    void dispatcher[Symbol.asyncDispose]().catch(() => undefined);
  }

  /** Of a manager that lives, a part that ends for good is a failure. */
  #onFailed(seat: Seat, thrown: unknown): void {
    if (this.#process?.seat === seat) this.#world.checks.onManagerFailed(this.nodeId, thrown);
  }

  /** The leader's ear, over the network. */
  #leader() {
    const reportBeats = async ({
      nodeIds = [],
    }: MessageInitShape<typeof ReportBeatsRequestSchema>) => {
      await hop(this.#world);
      const nodeId = this.#world.journal.leader?.self.nodeId ?? "";
      const leader = this.#world.managers.get(nodeId)?.nodeLiveness;
      if (leader === undefined) throw new Fault("unavailable", "this manager does not lead");
      leader.report(this.nodeId, nodeIds);
      await hop(this.#world);
      return { $typeName: "swarm.v1.ReportBeatsResponse" as const };
    };
    const relayLogs = () => {
      throw new Fault("unimplemented", "no logs here");
    };
    return { reportBeats, relayLogs };
  }

  get nodeLiveness(): Leadership["nodeLiveness"] | undefined {
    const process = this.#process;
    return process?.seat.leading === true ? process.leading.scope?.nodeLiveness : undefined;
  }
}

/** Who calls is in the call's own words. */
function authenticate(store: Store, { caller }: CallContext) {
  const node = caller.kind === "node" ? store.get("node", caller.nodeId) : undefined;
  if (node === undefined) throw new Fault("permission-denied", "no node of this cluster");
  return node;
}
