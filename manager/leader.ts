/**
 * Leadership as a scope: everything that may run on one manager only begins here and ends together. The first part that
 * cannot go on ends it all. When it begins and ends is the matter of leading.ts.
 */
import type { Ports } from "#proto/ports.ts";
import { Allocator } from "./allocator/allocator.ts";
import { Autoscaler } from "./autoscaler/autoscaler.ts";
import { UsageBook } from "./autoscaler/usage-book.ts";
import { FileReaper } from "./file-reaper/file-reaper.ts";
import { JobScheduler } from "./job-scheduler/job-scheduler.ts";
import { NodeLiveness } from "./node-liveness/node-liveness.ts";
import { ConstraintEnforcer } from "./orchestrator/constraint-enforcer.ts";
import { DependencyGate } from "./orchestrator/dependency-gate.ts";
import { GlobalOrchestrator } from "./orchestrator/global.ts";
import { JobOrchestrator } from "./orchestrator/jobs.ts";
import { Reaper } from "./orchestrator/reaper.ts";
import { Rebalancer } from "./orchestrator/rebalancer.ts";
import { ReplicatedOrchestrator } from "./orchestrator/replicated.ts";
import { SlotIndex } from "./orchestrator/slots.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import { type Planner, StoreLoop } from "./store-loop.ts";
import type { Store } from "./store/store.ts";

/** Something that runs as long as this manager leads. */
export interface LeaderPart extends AsyncDisposable {
  /** Rejects when it cannot go on; never resolves. */
  readonly failed: Promise<never>;
}

export interface LeaderOptions {
  /** This manager's node. */
  readonly nodeId: string;
  /** Parts that stand on more than the store. */
  readonly others?: readonly (() => LeaderPart)[];
}

export interface LeaderModules extends Ports {
  readonly store: Store;
}

export interface Leadership extends LeaderPart {
  readonly nodeLiveness: NodeLiveness;
  readonly usageBook: UsageBook;
}

/** Begins to lead. The store must hold everything that was committed before. */
export function startLeader(options: LeaderOptions, modules: LeaderModules): Leadership {
  const scope = new AsyncDisposableStack();
  const slots = new SlotIndex(modules.store);
  // Watches first: whoever plans with the index must find it as new as the store.
  scope.use(
    modules.store.watch(({ changes }) => {
      for (const change of changes) slots.onChange(change);
    }),
  );
  const nodeLiveness = scope.use(new NodeLiveness({ ...modules, nodeId: options.nodeId }));
  const usageBook = new UsageBook(modules);
  const startLoop = <T>(planner: Planner<T>) => scope.use(new StoreLoop(planner, modules));
  const parts: readonly LeaderPart[] = [
    nodeLiveness,
    // The later stages of a task's way first, so that each is there when the one before hands over.
    scope.use(new Scheduler(modules)),
    scope.use(new Allocator(modules)),
    scope.use(new Reaper({ ...modules, slots })),
    scope.use(new FileReaper(modules)),
    scope.use(new Autoscaler({ ...modules, usageBook })),
    startLoop(new DependencyGate(modules)),
    startLoop(new ConstraintEnforcer(modules)),
    startLoop(new ReplicatedOrchestrator({ ...modules, slots })),
    scope.use(new Rebalancer(modules)),
    startLoop(new GlobalOrchestrator(modules)),
    startLoop(new JobOrchestrator(modules)),
    startLoop(new JobScheduler(modules)),
    ...(options.others ?? []).map((start) => scope.use(start())),
  ];
  const failed = Promise.race(parts.map((part) => part.failed));
  failed.catch(() => undefined);
  return { nodeLiveness, usageBook, failed, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}
