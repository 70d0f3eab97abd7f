/**
 * The loop that makes nodes managers and workers. Owns `Node.role` after the join, `Node.managerStatus`, and the removal
 * of servers from the log. It looks when a node changes, and once a second because membership changes without a commit.
 */
import { Fault } from "#proto/fault.ts";
import type { Ports } from "#proto/ports.ts";
import { Loop } from "../loop.ts";
import type { Replication } from "../replication/replication.ts";
import type { Store } from "../store/store.ts";
import { planRoles } from "./plan-roles.ts";

const lookEveryMs = 1_000;

export interface RoleManagerModules extends Ports {
  readonly store: Store;
  readonly replication: Replication;
}

export class RoleManager implements AsyncDisposable {
  readonly #modules: RoleManagerModules;
  readonly #loop: Loop;
  readonly #watch: Disposable;
  /** Why servers could not be taken out, by node: told when it changes, not at every look. */
  readonly #refusals = new Map<string, string>();

  constructor(modules: RoleManagerModules) {
    this.#modules = modules;
    this.#loop = new Loop({ name: "role manager", round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      if (changes.some(({ kind }) => kind === "node")) this.#loop.wake();
    });
    this.#loop.wake();
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  async #round(): Promise<number> {
    const { store, replication, clock } = this.#modules;
    const members = await replication.members();
    const { removals } = planRoles(store, members);
    await store.write((view) => planRoles(view, members).actions);
    for (const nodeId of this.#refusals.keys()) {
      if (!removals.includes(nodeId)) this.#refusals.delete(nodeId);
    }
    // Each removal is planned from the membership that the one before left behind.
    for (const nodeId of removals) {
      if (!(await this.#remove(nodeId))) continue;
      this.#loop.wake();
      break;
    }
    return clock.now() + lookEveryMs;
  }

  /** False: not now, because those left would have no majority. */
  async #remove(nodeId: string): Promise<boolean> {
    const { replication, log } = this.#modules;
    try {
      await replication.remove(nodeId, { force: false });
    } catch (thrown) {
      const fault = Fault.from(thrown);
      if (fault.code !== "failed-precondition") throw fault;
      if (this.#refusals.get(nodeId) !== fault.message) {
        log.warn(`A manager stays one for now: ${fault.message}`, { nodeId });
      }
      this.#refusals.set(nodeId, fault.message);
      return false;
    }
    log.info("A manager was taken out of the log", { nodeId });
    return true;
  }
}
