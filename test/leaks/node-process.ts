/**
 * A host's engine without managers, told over Node's channel what it is assigned: networks, tasks, containers are real; the
 * image is a folder. It is killed and started again as swarmd is.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { systemExec } from "#agent/exec.ts";
import { NetworkDriver, type NetworkState } from "#agent/network/network-driver.ts";
import type { ImageSource, TaskImage } from "#agent/task/sources.ts";
import { Worker } from "#agent/worker.ts";
import { Fault } from "#proto/fault.ts";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemClock } from "#proto/system-ports.ts";

export interface Assignment {
  readonly network: NetworkState;
  readonly tasks: readonly Uint8Array[];
}

export type Report =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly message: string }
  /** Nothing is left of tasks that are not assigned. */
  | { readonly kind: "idle" }
  | {
      readonly kind: "status";
      readonly taskId: string;
      readonly state: TaskState;
      readonly attempt: number;
    };

const [stateRoot = "", layer = "", cgroupParent = ""] = process.argv.slice(2);

const image: TaskImage = {
  config: {
    env: [],
    entrypoint: [],
    cmd: ["sleep", "1000"],
    workingDir: "",
    user: "",
    stopSignal: "",
  },
  layers: [layer],
};

const images: ImageSource = {
  pull: async (reference) => {
    if (reference !== "missing") return image;
    throw new Fault("not-found", "there is no such image");
  },
  find: (reference) => (reference === "missing" ? undefined : image),
};

function tell(report: Report): void {
  process.send?.(report);
}

const network = await NetworkDriver.open(
  { runRoot: "/run/swarm" },
  { exec: systemExec, log: silentLog },
);
const worker = await Worker.open(
  { stateRoot, runRoot: "/run/swarm", cgroupParent, runtime: "runc" },
  {
    images,
    network,
    report: (taskId, { state, attempt }) => tell({ kind: "status", taskId, state, attempt }),
    clock: systemClock,
    log: silentLog,
    exec: systemExec,
  },
);

async function assign(assignment: Assignment): Promise<void> {
  await network.apply(assignment.network);
  worker.assign(assignment.tasks.map((bytes) => fromBinary(TaskSchema, bytes)));
  await worker.idle();
  tell({ kind: "idle" });
}

process.on("message", (assignment: Assignment) => {
  assign(assignment).catch((thrown: unknown) =>
    tell({ kind: "failed", message: Fault.from(thrown).message }),
  );
});
tell({ kind: "ready" });
