/**
 * A host's engine without managers, told over Node's channel what it is assigned: networks, tasks, containers are real; the
 * image is a folder. It is killed and started again as swarmd is.
 */
import { create, fromBinary } from "@bufbuild/protobuf";
import { systemExec } from "#agent/exec.ts";
import { NetworkDriver, type NetworkState } from "#agent/network/network-driver.ts";
import type { ImageSource, TaskImage } from "#agent/task/sources.ts";
import { Worker } from "#agent/worker.ts";
import { Fault } from "#proto/fault.ts";
import { SecretSchema, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemClock } from "#proto/system-ports.ts";

export interface Assignment {
  readonly number: number;
  readonly network: NetworkState;
  readonly tasks: readonly Uint8Array[];
}

export type Report =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly message: string }
  /** Nothing is left of tasks that are not in the assignment of this number. */
  | { readonly kind: "idle"; readonly number: number }
  | { readonly kind: "status"; readonly taskId: string; readonly state: TaskState };

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

const secret = create(SecretSchema, {
  id: "secret",
  spec: { annotations: { name: "secret" }, data: Buffer.from("hush") },
});
const files = { secrets: new Map([[secret.id, secret]]), configs: new Map() };

function tell(report: Report): void {
  process.send?.(report);
}

const network = await NetworkDriver.open(
  { runRoot: "/run/swarm" },
  { exec: systemExec, clock: systemClock, log: silentLog },
);
const worker = await Worker.open(
  { stateRoot, runRoot: "/run/swarm", cgroupParent, runtime: "runc" },
  {
    images,
    network,
    report: (taskId, { state }) => tell({ kind: "status", taskId, state }),
    clock: systemClock,
    log: silentLog,
    exec: systemExec,
  },
);

/** One after the other, as an agent's converger does. */
let assigned: Promise<void> = Promise.resolve();

async function assign({ number, network: state, tasks }: Assignment): Promise<void> {
  await network.apply(state);
  worker.assign(
    tasks.map((bytes) => fromBinary(TaskSchema, bytes)),
    files,
  );
  worker.idle().then(() => tell({ kind: "idle", number }), fail);
}

function fail(thrown: unknown): void {
  tell({ kind: "failed", message: Fault.from(thrown).message });
}

process.on("message", (assignment: Assignment) => {
  assigned = assigned.then(() => assign(assignment)).catch(fail);
});
tell({ kind: "ready" });
