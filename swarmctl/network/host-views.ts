/** What each host knows of a network beside what managers say: an address that is missing or left over is seen by name. */
import {
  type InspectHostNetworkResponse,
  type KnownEndpoint,
  NetworkService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration } from "#proto/time.ts";
import { addressPart } from "#proto/cidr.ts";
import type { Context, ControlClient } from "../context.ts";
import { nodeName, onNodes } from "../node-call.ts";
import { taskName } from "../service/words.ts";

/** A task on the network, as managers have it. */
interface Member {
  readonly task: Task;
  readonly addresses: readonly string[];
}

export async function hostViews(
  context: Context,
  networkId: string,
): Promise<Readonly<Record<string, unknown>>> {
  const control = await context.control();
  const members = await membersOf(control, networkId);
  const { services } = await control.listServices({});
  const answers = await onNodes(context, NetworkService, {}, (client) =>
    client.inspectHostNetwork({ networkId }),
  );
  const used = new Set(members.map(({ task }) => task.serviceId));
  return {
    services: Object.fromEntries(
      services
        .filter(({ id }) => used.has(id))
        .map((service) => [
          service.spec?.annotations?.name ?? service.id,
          {
            virtualIps: (service.endpoint?.virtualIps ?? [])
              .filter((one) => one.networkId === networkId)
              .map(({ address }) => address),
            tasks: members.filter(({ task }) => task.serviceId === service.id).map(memberView),
          },
        ]),
    ),
    hosts: Object.fromEntries(
      answers.map(({ node, answer }) => [nodeName(node), hostView(answer, members)]),
    ),
  };
}

async function membersOf(control: ControlClient, networkId: string): Promise<readonly Member[]> {
  const { tasks } = await control.listTasks({ runningOnly: true });
  return tasks.flatMap((task) => {
    const attachment = task.networks.find(({ network }) => network?.id === networkId);
    const assigned = (task.status?.state ?? TaskState.NEW) >= TaskState.ASSIGNED;
    if (attachment === undefined || !assigned) return [];
    return [{ task, addresses: attachment.addresses.map(addressPart) }];
  });
}

function memberView({ task, addresses }: Member) {
  return { task: taskName(task), node: task.nodeId, addresses };
}

function hostView(
  { carried, endpoints, status }: InspectHostNetworkResponse,
  members: readonly Member[],
) {
  const wanted = new Map(members.map(({ task }) => [task.id, taskName(task)]));
  const known = new Set(endpoints.map(({ taskId }) => taskId));
  const missing = [...wanted].filter(([id]) => carried && !known.has(id)).map(([, name]) => name);
  const leftOver = endpoints.filter(({ taskId }) => !wanted.has(taskId)).map(addressOf);
  return {
    carried,
    endpoints: endpoints.length,
    serving: endpoints.filter(({ serving }) => serving).length,
    missing,
    leftOver,
    convergenceMs: msFromDuration(status?.convergence, 0),
    repairs: Number(status?.repairs ?? 0n),
    drift: status?.drift ?? [],
    refusals: status?.refusals ?? [],
    obstacles: status?.obstacles ?? [],
  };
}

function addressOf({ address }: KnownEndpoint): string {
  return address;
}
