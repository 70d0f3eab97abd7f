/** Events of services: their specs' changes, the progress of updates, scaling by itself, and runs by a schedule. */
import { type DescMessage, equals, type Message } from "@bufbuild/protobuf";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ServiceSpecSchema, type ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type JobRun, RunState, UpdateState } from "#proto/gen/swarm/v1/types_pb.ts";
import { type Aspect, changedAspects, type HappenedEvent, labelsWord, type Pair } from "./event.ts";
import { wordOf } from "../output/enum-words.ts";

export function serviceEvents({ before, after }: Pair<Service>): readonly HappenedEvent[] {
  const service = after ?? before;
  if (service === undefined) return [];
  const event = (action: string, attributes: Record<string, string> = {}): HappenedEvent => ({
    type: "service",
    action,
    id: service.id,
    attributes: { name: service.spec?.annotations?.name ?? service.id, ...attributes },
  });
  if (before === undefined) return [event("create")];
  if (after === undefined) return [event("remove")];
  return [
    ...updates(before, after).map((attributes) => event("update", attributes)),
    ...scalings(before, after).map((attributes) => event("scale", attributes)),
    ...runs(before, after).map(([action, attributes]) => event(action, attributes)),
    ...(after.dependenciesMet && !before.dependenciesMet && after.spec?.dependsOn.length !== 0
      ? [event("dependencies_met")]
      : []),
    ...rebalances(before, after).map((action) => event(action)),
  ];
}

const aspects: readonly Aspect<Service>[] = [
  ["name", ({ spec }) => spec?.annotations?.name ?? ""],
  ["image", ({ spec }) => imageOf(spec)],
  ["replicas", ({ spec }) => replicasOf(spec)],
  ["labels", ({ spec }) => labelsWord(spec?.annotations?.labels)],
  ["updatestate", ({ updateStatus }) => updateWord(updateStatus?.state)],
];

/** At most one: what a user changed, or how far the update has come. */
function updates(before: Service, after: Service): readonly Record<string, string>[] {
  const changes = changedAspects(aspects, before, after);
  const message = after.updateStatus?.message ?? "";
  if (message !== "" && message !== before.updateStatus?.message) changes["message"] = message;
  const isSame = same(ServiceSpecSchema, before.spec, after.spec);
  return isSame && Object.keys(changes).length === 0 ? [] : [changes];
}

function same(schema: DescMessage, a: Message | undefined, b: Message | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return equals(schema, a, b);
}

function imageOf(spec: ServiceSpec | undefined): string {
  const runtime = spec?.task?.runtime;
  return runtime?.case === "container" ? runtime.value.image : "";
}

function replicasOf(spec: ServiceSpec | undefined): string {
  switch (spec?.mode.case) {
    case "replicated":
      return String(spec.mode.value.replicas);
    case "replicatedJob":
      return String(spec.mode.value.totalCompletions);
    default:
      return "";
  }
}

function updateWord(state: UpdateState | undefined): string {
  return state === undefined || state === UpdateState.UNKNOWN ? "" : wordOf(UpdateState, state);
}

/** Of a service that scales by what it uses. */
function scalings(before: Service, after: Service): readonly Record<string, string>[] {
  const [old, now] = [before.autoscaleStatus, after.autoscaleStatus];
  if (now === undefined) return [];
  const from = old === undefined ? replicasOf(before.spec) : String(old.replicas);
  const to = String(now.replicas);
  // The first word of a service that has just begun to scale says that it stays.
  if (from === to) return [];
  return [
    {
      "replicas.new": to,
      "replicas.old": from,
      ...(now.message !== "" && { message: now.message }),
    },
  ];
}

type Run = readonly [action: string, attributes: Record<string, string>];

const endings: Readonly<Record<number, string>> = {
  [RunState.COMPLETED]: "run_complete",
  [RunState.FAILED]: "run_fail",
  [RunState.REPLACED]: "run_replace",
};

/** Runs of a job with a schedule that began or ended. */
function runs(before: Service, after: Service): readonly Run[] {
  const earlier = new Map(before.scheduleStatus?.runs.map((run) => [iterationOf(run), run.state]));
  return (after.scheduleStatus?.runs ?? []).flatMap((run): readonly Run[] => {
    const iteration = iterationOf(run);
    const was = earlier.get(iteration);
    if (was === run.state) return [];
    const attributes = { run: iteration };
    const begun: readonly Run[] = was === undefined ? [["run_start", attributes]] : [];
    const ending = endings[run.state];
    return ending === undefined ? begun : [...begun, [ending, attributes]];
  });
}

function iterationOf({ iteration }: JobRun): string {
  return String(iteration?.index ?? 0n);
}

function rebalances(before: Service, after: Service): readonly string[] {
  return [
    ...(after.rebalances > before.rebalances ? ["rebalance_start"] : []),
    ...(after.rebalancesDone > before.rebalancesDone ? ["rebalance_complete"] : []),
  ];
}
