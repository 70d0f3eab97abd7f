/** The end of a packet's way, at the host of the task that it goes to, and the way back of the answer. */
import { create } from "@bufbuild/protobuf";
import {
  type TraceToTaskRequest,
  type TraceToTaskResponse,
  TraceToTaskResponseSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { NetworkState } from "../network-state.ts";
import { isText6 } from "../subnet.ts";
import { placeOf } from "./places.ts";
import { hostSide, type Questions } from "./questions.ts";
import { Walk } from "./walk.ts";

export async function traceToTask(
  { taskId, sourceAddress, port }: TraceToTaskRequest,
  state: NetworkState,
  questions: Questions,
): Promise<TraceToTaskResponse> {
  const walk = new Walk();
  const done = () => create(TraceToTaskResponseSchema, { steps: walk.steps });
  const source = placeOf(state, sourceAddress);
  if (source.kind !== "task") {
    walk.fail(
      `this host does not know of the task at ${sourceAddress}: it has not heard from managers yet`,
    );
    return done();
  }
  const own = state.endpoints.find(
    (one) => one.taskId === taskId && one.networkId === source.endpoint.networkId,
  );
  const six = isText6(sourceAddress);
  const address = (six ? own?.address6 : own?.address) ?? "";
  const interfaces = await questions.interfaces(taskId);
  const link = interfaces?.find(({ addresses }) => addresses.includes(address));
  if (link?.up !== true) {
    walk.fail(`the task does not have ${address || "an address"} here: start it anew`);
    return done();
  }
  walk.ok(`the task has ${address} (${link.device})`);
  const set = six ? "samenet6" : "samenet";
  if ((await questions.element(set, `${sourceAddress} . ${address}`)) === undefined) {
    walk.fail(
      `this host's rules refuse ${sourceAddress} → ${address}: they are put back within a minute`,
    );
    return done();
  }
  walk.ok(`the rules let ${sourceAddress} reach ${address}`);
  const back = await questions.route({
    to: sourceAddress,
    from: address,
    link: hostSide(taskId, link.device),
  });
  if (typeof back === "string") walk.fail(`answers have no way back to ${sourceAddress} (${back})`);
  else
    walk.ok(`answers go back by ${back.device}${back.gateway === "" ? "" : ` to ${back.gateway}`}`);
  if (port !== 0 && !walk.failed) await listens(walk, { taskId, port }, questions);
  return done();
}

async function listens(
  walk: Walk,
  { taskId, port }: { readonly taskId: string; readonly port: number },
  questions: Questions,
): Promise<void> {
  const ports = await questions.listening(taskId);
  if (ports.has(port)) {
    walk.ok(`something listens on port ${port}`);
    return;
  }
  const others = [...ports].sort((a, b) => a - b).join(", ");
  const instead = others === "" ? "nothing listens there at all" : `its ports are ${others}`;
  walk.fail(`nothing listens on port ${port} in the task: ${instead}`);
}
