/** Ports of this machine that lead into a task, for as long as the command runs and the task does. */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { ContainerService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { complain } from "./complain.ts";
import type { Context } from "./context.ts";
import { flag } from "./flags/parse-flag.ts";
import { runningTask, taskEnd } from "./running-task.ts";
import { taskName } from "./service/words.ts";

interface Ports {
  /** 0: any that is free. */
  readonly local: number;
  readonly remote: number;
}

interface Forwarding {
  readonly context: Context;
  readonly client: Client<typeof ContainerService>;
  readonly taskId: string;
  /** Ends them all, with why. */
  readonly fail: (fault: Fault) => void;
}

const portMax = 65_535;

export function define(command: Command, context: Context): void {
  const ports = flag(parsePorts);
  command
    .argument("<task>", "ID, prefix of an ID, or name such as web.1")
    .argument(
      "<[local:]remote...>",
      "ports: here, and in the task",
      (text: string, before?: Ports[]) => [...(before ?? []), ports(text)],
    )
    .action(async (ref: string, pairs: Ports[]) => {
      const task = await runningTask(context, ref);
      const client = await context.engine(ContainerService, task.nodeId);
      const { promise: failed, reject } = Promise.withResolvers<never>();
      failed.catch(() => undefined);
      const forwarding = { context, client, taskId: task.id, fail: reject };
      await using servers = new AsyncDisposableStack();
      for (const pair of pairs) {
        const server = servers.use(await listen(pair, forwarding));
        const { port } = server.address() as AddressInfo;
        context.print(`127.0.0.1:${port} leads to port ${pair.remote} of ${taskName(task)}`);
      }
      await Promise.race([failed, taskEnd(context, task), aborted(context.io.signal)]);
    });
}

export function parsePorts(text: string): Ports {
  const [, first = "", second] = /^([0-9]{1,5})?(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const remote = Number(second ?? first);
  const local = second === undefined ? remote : Number(first);
  if (text !== "" && remote > 0 && remote <= portMax && local <= portMax) return { local, remote };
  throw new Fault("invalid-argument", `"${text}" is not [LOCAL:]REMOTE, such as 8080:80`);
}

function listen({ local, remote }: Ports, forwarding: Forwarding): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    forward(socket, remote, forwarding).catch((thrown: unknown) => {
      socket.destroy();
      const fault = Fault.from(thrown);
      // The task is over: no other connection will do better.
      if (fault.code === "failed-precondition" || fault.code === "not-found") {
        forwarding.fail(fault);
      } else if (fault.code !== "canceled") {
        complain(forwarding.context.io, fault.message);
      }
    });
  });
  return new Promise((resolve, reject) => {
    const refuse = (error: Error) =>
      reject(Fault.wrap(`Cannot listen on 127.0.0.1:${local}`, error));
    server.once("error", refuse);
    server.listen(local, "127.0.0.1", () => {
      server.off("error", refuse);
      resolve(server);
    });
  });
}

async function forward(
  socket: Socket,
  port: number,
  { context, client, taskId }: Forwarding,
): Promise<void> {
  const gone = new AbortController();
  const abort = () => gone.abort();
  context.io.signal.addEventListener("abort", abort, { once: true });
  // One that is reset, or that has ended on both sides.
  socket.on("error", abort);
  socket.once("close", abort);
  try {
    const responses = client.forwardPort(requests(socket, taskId, port), { signal: gone.signal });
    for await (const { data, closed } of responses) {
      if (data.length > 0) await written(socket, data);
      if (closed) socket.end();
    }
  } catch (thrown) {
    if (!gone.signal.aborted) throw thrown;
  } finally {
    context.io.signal.removeEventListener("abort", abort);
    socket.destroySoon();
  }
}

async function* requests(socket: Socket, taskId: string, port: number) {
  yield { input: { case: "start", value: { taskId, port } } } as const;
  for await (const value of socket.iterator({ destroyOnReturn: false })) {
    yield { input: { case: "data", value: value as Buffer } } as const;
  }
}

function written(socket: Socket, data: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    socket.write(data, () => resolve());
  });
}

/** The user has had enough. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
