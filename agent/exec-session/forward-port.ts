/**
 * A connection to a port in a task's network namespace, which only a process inside can make: socat, one for each, with
 * the caller's data on its standard streams. Either side may be done with sending before the other is.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  ContainerService,
  ForwardPortRequest,
  ForwardPortResponseSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import type { Exec } from "../exec.ts";
import { type Child, exitCodeOf } from "./process-group.ts";
import { type ContainerPlaces, runningContainer } from "./running-container.ts";

type Response = MessageInitShape<typeof ForwardPortResponseSchema>;

/** One side may be silent for so long after the other is done: a day. */
const halfOpenSeconds = 86_400;

const portMax = 65_535;

/** socat's complaints are a line or two. */
const saidMax = 4096;

/** For the engine's API. */
export function forwardPortHandler(
  places: ContainerPlaces,
  exec: Exec,
): Handlers<typeof ContainerService>["forwardPort"] {
  return async function* (requests, { signal }): AsyncGenerator<Response, void, undefined> {
    const inputs = requests[Symbol.asyncIterator]();
    const first = await inputs.next();
    if (first.done === true || first.value.input.case !== "start") {
      throw new Fault("invalid-argument", "the first message does not name a task and a port");
    }
    const { taskId, port } = first.value.input.value;
    if (port === 0 || port > portMax) throw new Fault("invalid-argument", `${port} is no port`);
    const { pid } = await runningContainer(taskId, places);
    const network = `--net=/proc/${pid}/ns/net`;
    const relay = ["socat", `-t${halfOpenSeconds}`, "STDIO,shut-close", `TCP4:127.0.0.1:${port}`];
    const child = exec.start("nsenter", [network, ...relay], { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin?.on("error", () => {});
    let said = "";
    child.stderr?.on("data", (piece: Buffer) => {
      said = (said + piece.toString()).slice(0, saidMax);
    });
    const end = () => void child.kill("SIGKILL");
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
    const exit = exitCodeOf(child);
    exit.catch(() => undefined);
    feed(child, inputs).catch(end);
    try {
      yield* dataOf(child);
      if ((await exit) !== 0 && !signal.aborted) throw refusal(said, port);
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
  };
}

async function* dataOf({ stdout }: Child): AsyncGenerator<Response, void, undefined> {
  if (stdout === null) return;
  for await (const data of stdout as AsyncIterable<Buffer>) yield { data };
  yield { closed: true };
}

async function feed({ stdin }: Child, inputs: AsyncIterator<ForwardPortRequest>): Promise<void> {
  if (stdin === null) return;
  for await (const { input } of { [Symbol.asyncIterator]: () => inputs }) {
    if (input.case !== "data") continue;
    await new Promise<void>((resolve) => stdin.write(input.value, () => resolve()));
  }
  stdin.end();
}

/** socat ends with an error only where there was no connection, or where it was reset. */
function refusal(said: string, port: number): Fault {
  if (/Connection refused/.test(said)) {
    return new Fault("unavailable", `Nothing listens on port ${port} of the task`);
  }
  const words = said.split("\n")[0]?.replace(/^.*?socat\[[0-9]+\] [A-Z] /, "") ?? "";
  return new Fault("unavailable", `The connection to port ${port} of the task broke: ${words}`);
}
