/**
 * Leadership as a scope: everything that may run on one manager only begins here and ends together. The first part that
 * cannot go on ends it all.
 */
import type { Ports } from "#proto/ports.ts";
import { Allocator } from "./allocator/allocator.ts";
import {
  Dispatcher,
  type DispatcherModules,
  type DispatcherOptions,
} from "./dispatcher/dispatcher.ts";
import { Reaper } from "./orchestrator/reaper.ts";
import { ReplicatedOrchestrator } from "./orchestrator/replicated.ts";
import { SlotIndex } from "./orchestrator/slots.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import type { Store } from "./store/store.ts";

export type LeaderOptions = DispatcherOptions;

export interface LeaderModules extends Ports {
  readonly store: Store;
  readonly authenticate: DispatcherModules["authenticate"];
  readonly logSubscriptions: DispatcherModules["logSubscriptions"];
}

export interface Leadership extends AsyncDisposable {
  readonly dispatcher: Dispatcher;
  /** Rejects with the Fault that ended it; never resolves. */
  readonly failed: Promise<never>;
}

/** Begins to lead. The store must be open. */
export function startLeader(options: LeaderOptions, modules: LeaderModules): Leadership {
  const scope = new AsyncDisposableStack();
  const slots = new SlotIndex(modules.store);
  // Watches first: whoever plans with the index must find it as new as the store.
  scope.use(
    modules.store.watch(({ changes }) => {
      for (const change of changes) slots.onChange(change);
    }),
  );
  // The later stages of a task's way first, so that each is there when the one before hands over.
  const dispatcher = scope.use(new Dispatcher(options, modules));
  const parts = [
    dispatcher,
    scope.use(new Scheduler(modules)),
    scope.use(new Allocator(modules)),
    scope.use(new Reaper({ ...modules, slots })),
    scope.use(new ReplicatedOrchestrator({ ...modules, slots })),
  ];
  const failed = Promise.race(parts.map((part) => part.failed));
  failed.catch(() => undefined);
  return { dispatcher, failed, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}
