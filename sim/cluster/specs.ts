/** Services as users might want them, drawn at random. */
import { create } from "@bufbuild/protobuf";
import {
  type ServiceSpec,
  ServiceSpecSchema,
  type TaskSpec,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  RestartCondition,
  UpdateFailureAction,
  UpdateOrder,
  type UpdateConfig,
  UpdateConfigSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import type { SeededRandom } from "../random.ts";
import type { Behaviour } from "./containers.ts";

const { PAUSE } = UpdateFailureAction;

export const zones = ["a", "b"] as const;
export const networkName = "net";

export function drawService(
  name: string,
  random: SeededRandom,
  failureChance: number,
): ServiceSpec {
  const mode = drawMode(random);
  const isJob = mode.case === "replicatedJob" || mode.case === "globalJob";
  return create(ServiceSpecSchema, {
    annotations: { name },
    mode,
    task: drawTask(random, isJob ? "job" : drawBehaviour(random, failureChance), mode),
    ...(!isJob && { update: drawUpdate(random), rollback: drawUpdate(random, "rollback") }),
    ...(random.chance(0.2) &&
      !isJob && {
        endpoint: { ports: [{ targetPort: 80, publishedPort: random.chance(0.5) ? 8080 : 0 }] },
      }),
  });
}

/** What a user changes: mostly the image or its settings, sometimes how it is updated. */
export function changedService(
  before: ServiceSpec,
  random: SeededRandom,
  failureChance: number,
): ServiceSpec {
  const { mode } = before;
  const isJob = mode.case === "replicatedJob" || mode.case === "globalJob";
  const behaviour = isJob ? "job" : drawBehaviour(random, failureChance);
  return create(ServiceSpecSchema, {
    ...before,
    task: drawTask(random, behaviour, mode),
    ...(!isJob && random.chance(0.5) && { update: drawUpdate(random) }),
  });
}

/** As the last word of a user: one that can run. */
export function soundService(before: ServiceSpec, random: SeededRandom): ServiceSpec {
  const { mode } = before;
  const isJob = mode.case === "replicatedJob" || mode.case === "globalJob";
  // With nowhere to go back to: that might never run either.
  const { canaryPromoteAfter: _, ...settings } = before.update ?? drawUpdate(random);
  const update = { ...settings, failureAction: PAUSE, canary: 0n };
  return create(ServiceSpecSchema, {
    ...before,
    task: drawTask(random, isJob ? "job" : "steady", mode),
    ...(!isJob && { update }),
  });
}

function drawMode(random: SeededRandom): ServiceSpec["mode"] {
  const choice = random.fraction();
  if (choice < 0.7) {
    return create(ServiceSpecSchema, {
      mode: { case: "replicated", value: { replicas: BigInt(random.int(7)) } },
    }).mode;
  }
  if (choice < 0.85) return create(ServiceSpecSchema, { mode: { case: "global", value: {} } }).mode;
  const totalCompletions = BigInt(1 + random.int(5));
  const maxConcurrent = BigInt(1 + random.int(3));
  return create(ServiceSpecSchema, {
    mode: { case: "replicatedJob", value: { totalCompletions, maxConcurrent } },
  }).mode;
}

function drawBehaviour(random: SeededRandom, failureChance: number): Behaviour {
  if (!random.chance(failureChance)) return "steady";
  const failing: readonly Behaviour[] = ["flaky", "broken", "missing", "sick"];
  return random.pick(failing) ?? "flaky";
}

function drawTask(random: SeededRandom, behaviour: Behaviour, mode: ServiceSpec["mode"]): TaskSpec {
  const isJob = mode.case === "replicatedJob" || mode.case === "globalJob";
  const checked = behaviour === "sick" || random.chance(0.2);
  const spec = create(ServiceSpecSchema, {
    task: {
      runtime: {
        case: "container",
        value: {
          image: `${behaviour}:${1 + random.int(1e9)}`,
          ...(checked && {
            healthcheck: {
              test: ["CMD", "check"],
              interval: durationFromMs(1_000),
              retries: 2,
            },
          }),
        },
      },
      resources: { reservations: { memoryBytes: BigInt(random.int(4)) * 100_000_000n } },
      ...(random.chance(0.3) && { placement: drawPlacement(random, mode) }),
      ...((isJob || random.chance(0.5)) && {
        restart: {
          condition: isJob ? RestartCondition.ON_FAILURE : RestartCondition.ANY,
          delay: durationFromMs(random.between(0, 3_000)),
          maxAttempts: isJob ? 0n : BigInt(random.int(3)),
        },
      }),
      priority: random.int(3) - 1,
      networks: random.chance(0.4) ? [{ target: networkName }] : [],
    },
  });
  if (spec.task === undefined) throw new Error("the spec has a task");
  return spec.task;
}

function drawCanaries(random: SeededRandom) {
  const canary = BigInt(1 + random.int(2));
  return random.chance(0.5)
    ? { canary }
    : { canary, canaryPromoteAfter: durationFromMs(random.between(500, 10_000)) };
}

function drawPlacement(random: SeededRandom, mode: ServiceSpec["mode"]) {
  const constraints = random.chance(0.6) ? [`node.labels.zone==${random.pick(zones)}`] : [];
  const maxReplicas = random.chance(0.5) ? BigInt(1 + random.int(3)) : 0n;
  return {
    constraints,
    // A global service has one on each node as it is.
    maxReplicas: mode.case === "global" || mode.case === "globalJob" ? 0n : maxReplicas,
  };
}

function drawUpdate(random: SeededRandom, kind: "update" | "rollback" = "update"): UpdateConfig {
  const actions =
    kind === "update"
      ? [UpdateFailureAction.PAUSE, UpdateFailureAction.CONTINUE, UpdateFailureAction.ROLLBACK]
      : [UpdateFailureAction.PAUSE, UpdateFailureAction.CONTINUE];
  return create(UpdateConfigSchema, {
    parallelism: BigInt(random.int(4)),
    delay: durationFromMs(random.int(3) * 500),
    monitor: durationFromMs(500 + random.int(3_000)),
    failureAction: random.pick(actions) ?? UpdateFailureAction.PAUSE,
    maxFailureRatio: random.pick([0, 0, 0.25, 0.5]) ?? 0,
    order: random.chance(0.3) ? UpdateOrder.START_FIRST : UpdateOrder.STOP_FIRST,
    progressDeadline: durationFromMs(15_000),
    ...(kind === "update" && random.chance(0.2) && drawCanaries(random)),
  });
}
