/** What a host says of its networks to users who look for a fault. */
import { create } from "@bufbuild/protobuf";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import {
  InspectHostNetworkResponseSchema,
  type NetworkService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { isId } from "#proto/ids.ts";
import type { Clock } from "#proto/ports.ts";
import { durationFromMs } from "#proto/time.ts";
import type { NetworkDriver } from "../network-driver.ts";
import type { NetworkState } from "../network-state.ts";
import { countArrivals } from "./count-arrivals.ts";
import { probeNode } from "./probe-node.ts";
import { Questions } from "./questions.ts";
import { TraceFromTask } from "./trace-from-task.ts";
import { traceToTask } from "./trace-to-task.ts";

export interface NetworkApiModules {
  readonly network: Pick<NetworkDriver, "state" | "status">;
  readonly exec: Exec;
  readonly clock: Clock;
}

export function networkHandlers(modules: NetworkApiModules): Handlers<typeof NetworkService> {
  const { network, exec } = modules;
  const questions = new Questions(exec);
  const state = () => stateOf(network);
  return {
    inspectHostNetwork: async ({ networkId }) => inspect(networkId, modules),
    traceFromTask: async (request) => {
      checkTaskId(request.taskId);
      return await new TraceFromTask(request, state(), questions).run();
    },
    traceToTask: async (request) => {
      checkTaskId(request.taskId);
      return await traceToTask(request, state(), questions);
    },
    probeNode: async (request) => await probeNode(request, state(), modules),
    countArrivals: async (request) => await countArrivals(request, state(), exec),
  };
}

function inspect(networkId: string, { network }: NetworkApiModules) {
  const { networks = [], endpoints = [] } = network.state ?? {};
  const { convergences, convergenceMs, ...status } = network.status();
  return create(InspectHostNetworkResponseSchema, {
    carried: networks.some(({ id }) => id === networkId),
    endpoints: endpoints
      .filter((endpoint) => endpoint.networkId === networkId)
      .map(({ taskId, address, serving }) => ({ taskId, address, serving })),
    status: {
      convergence: durationFromMs(convergenceMs),
      convergences: BigInt(convergences),
      repairs: BigInt(status.repairs),
      drift: [...status.drift],
      refusals: [...status.refusals],
      obstacles: [...status.obstacles],
    },
  });
}

/** It becomes a namespace's name on command lines. */
function checkTaskId(taskId: string): void {
  if (!isId(taskId)) throw new Fault("invalid-argument", "this is no task's ID");
}

function stateOf(network: Pick<NetworkDriver, "state">): NetworkState {
  if (network.state !== undefined) return network.state;
  throw new Fault("unavailable", "this node has not heard from a manager yet: try again");
}
