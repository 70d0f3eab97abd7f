/**
 * How long the world waits for a task: from when its host says that it runs, until a task on another host is told its
 * name and has a connection to it through its service. One new service after the other, all of which stay; the manager is
 * a third host.
 */
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import type { Host } from "#lab/host.ts";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeAvailability, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { Ground } from "../ground.ts";
import type { Reached } from "./reach-program.ts";
import { type Place, taskPlaces } from "./task-place.ts";

type Control = Client<typeof ControlService>;

export interface Convergence {
  /** RUNNING → named on the other host, milliseconds. */
  readonly namedMs: readonly number[];
  /** RUNNING → named and connected. */
  readonly connectedMs: readonly number[];
}

/** Of fewer, the 99th percentile is one sample that met something else. */
const sampleCount = 100;
const network = "converge";
const port = 8080;
/** Of all samples: ten times what they take. */
const timeoutMs = 300_000;

const program = fileURLToPath(new URL("reach-program.ts", import.meta.url));

export async function measureConvergence(
  ground: Ground,
  signal: AbortSignal,
): Promise<Convergence> {
  const [manager, serving, asking] = ground.ours.hosts;
  if (manager === undefined || serving === undefined || asking === undefined) {
    throw new Fault("internal", "there are not three hosts");
  }
  using connection = manager.connect("manager");
  const control = connection.service(ControlService);
  const timely = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const running = runningTasks(control, timely);
  const start = async (name: string) => {
    const { image } = ground.sleeper(name, 1);
    const { service } = await control.createService({ spec: specOf(name, image) }, { signal });
    return await startedAt(running, service?.id ?? "");
  };
  await control.createNetwork({ spec: { annotations: { name: network } } }, { signal });
  await pauseAllBut(asking, control, signal);
  await start("asker");
  await pauseAllBut(serving, control, signal);
  const { network: made } = await control.getNetwork({ ref: network }, { signal });
  const gateway = made?.ipam?.configs[0]?.gateway ?? "";
  const [place] = taskPlaces(ground.lab.name, asking);
  if (place === undefined) throw new Fault("internal", "the asking task has no container");
  using asker = new Asker(place, gateway);
  // The first gets the image.
  await Promise.all([asker.reach("warm-up"), start("warm-up")]);
  const namedMs: number[] = [];
  const connectedMs: number[] = [];
  for (let sample = 1; sample <= sampleCount; sample += 1) {
    signal.throwIfAborted();
    const name = `s${sample}`;
    const [reached, atMs] = await Promise.all([asker.reach(name), start(name)]);
    namedMs.push(reached.namedAtMs - atMs);
    connectedMs.push(reached.connectedAtMs - atMs);
  }
  return { namedMs, connectedMs };
}

class Asker implements Disposable {
  readonly #stdin: NodeJS.WritableStream;
  readonly #lines: AsyncIterator<string>;

  constructor(place: Place, nameserver: string) {
    const { stdin, stdout } = place.start(process.execPath, [program, nameserver, String(port)]);
    if (stdin === null || stdout === null) throw new Fault("internal", "no pipes");
    stdin.on("error", () => {}); // it ended: so does its output, which is read
    this.#stdin = stdin;
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  async reach(service: string): Promise<Reached> {
    this.#stdin.write(`${service}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Fault("internal", `the other host never reached ${service}`);
    return JSON.parse(value) as Reached;
  }

  [Symbol.dispose](): void {
    this.#stdin.end();
  }
}

interface Running {
  readonly serviceId: string;
  /** As its host says: the report is on the way that is measured. */
  readonly atMs: number;
}

/** Those that run already, then those that begin to. */
async function* runningTasks(control: Control, signal: AbortSignal): AsyncGenerator<Running> {
  for await (const { events } of control.watch({ kinds: ["task"] }, { signal })) {
    for (const { action } of events) {
      const object = action?.object?.object;
      if (object?.case !== "task") continue;
      const { serviceId, status } = object.value;
      if (status?.state !== TaskState.RUNNING) continue;
      yield { serviceId, atMs: msFromTimestamp(status.timestamp) };
    }
  }
}

async function startedAt(running: AsyncIterator<Running>, serviceId: string): Promise<number> {
  for (;;) {
    const { value, done } = await running.next();
    if (done === true) throw new Fault("unavailable", "the manager ended the watch");
    if (value.serviceId === serviceId) return value.atMs;
  }
}

/** New tasks go to this host alone. */
async function pauseAllBut(host: Host, control: Control, signal: AbortSignal): Promise<void> {
  const { nodes } = await control.listNodes({}, { signal });
  for (const { id, meta, spec, description } of nodes) {
    const version = meta?.version;
    if (version === undefined || spec === undefined) continue;
    const { ACTIVE, PAUSE } = NodeAvailability;
    const availability = description?.hostname === host.name ? ACTIVE : PAUSE;
    const request = { ref: id, version, spec: { ...spec, availability } };
    await control.updateNode(request, { signal });
  }
}

/** One task, which takes connections. */
function specOf(name: string, image: string): ServiceSpec {
  return create(ServiceSpecSchema, {
    annotations: { name },
    task: {
      runtime: {
        case: "container",
        value: { image, args: ["httpd", "-f", "-p", String(port), "-h", "/tmp"] },
      },
      networks: [{ target: network }],
    },
    mode: { case: "replicated", value: { replicas: 1n } },
  });
}
