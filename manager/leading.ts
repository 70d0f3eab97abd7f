/**
 * Leads while the log says so: the leader's scope begins when this manager has leadership and ends when it has it no more.
 * A part of the scope that cannot go on makes this manager hand over; where there is nobody to hand over to, the process
 * ends and is started anew.
 */
import { Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";
import type { LeaderPart } from "./leader.ts";
import type { Replication } from "./replication/replication.ts";

export interface LeadingModules<Scope extends LeaderPart> {
  readonly replication: Replication;
  readonly log: Log;
  readonly startLeader: () => Scope;
}

export class Leading<Scope extends LeaderPart> implements AsyncDisposable {
  /** Rejects when this manager should lead and cannot. */
  readonly failed: Promise<never>;
  readonly #modules: LeadingModules<Scope>;
  readonly #fail: (fault: Fault) => void;
  readonly #watch: Disposable;
  #scope: Scope | undefined;
  /** The scope that there is belongs to a leadership that has ended. */
  #over = false;
  /** One change of mind after the other. */
  #turn: Promise<void> = Promise.resolve();
  #closing = false;

  constructor(modules: LeadingModules<Scope>) {
    this.#modules = modules;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined);
    this.failed = promise;
    this.#fail = reject;
    this.#watch = modules.replication.watch(() => this.#follow());
    this.#follow();
  }

  /** While this manager leads. */
  get scope(): Scope | undefined {
    return this.#over ? undefined : this.#scope;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    this.#watch[Symbol.dispose]();
    this.#follow();
    await this.#turn;
  }

  #follow(): void {
    // Also where it leads again by the time that its turn comes: another term is another scope.
    if (!this.#modules.replication.leading || this.#closing) this.#over = true;
    this.#turn = this.#turn.then(() => this.#settle()).catch(this.#fail);
  }

  async #settle(): Promise<void> {
    const { replication, log, startLeader } = this.#modules;
    if (this.#over && this.#scope !== undefined) {
      const scope = this.#scope;
      this.#scope = undefined;
      await scope[Symbol.asyncDispose]();
      log.info("This manager does not lead any more");
    }
    if (this.#scope !== undefined || this.#closing || !replication.leading) return;
    log.info("This manager leads");
    this.#over = false;
    const scope = startLeader();
    this.#scope = scope;
    scope.failed.catch((thrown: unknown) => void this.#onFailed(scope, thrown));
  }

  async #onFailed(scope: Scope, thrown: unknown): Promise<void> {
    // What fails because leadership was lost has not failed.
    if (this.#scope !== scope || !this.#modules.replication.leading) return;
    const { replication, log } = this.#modules;
    log.error("The leader cannot go on and hands over", { error: Fault.from(thrown).message });
    await replication.handOver().catch(() => undefined);
    if (replication.leading) this.#fail(Fault.wrap("Cannot lead, and nobody else can", thrown));
  }
}
