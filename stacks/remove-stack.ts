/** Takes a stack out of a cluster: its services, then what they used. Volumes stay: they hold data. */
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { fileApi, fileName } from "./file-api.ts";
import type { ControlClient } from "./look.ts";
import { ignoreMissing, type Patience, removeNetwork } from "./remove-network.ts";
import { nameOf, namespaceLabel } from "./stack.ts";

export interface RemoveOptions extends Patience {
  readonly onStep: (line: string) => void;
  /** Wait until the last task has stopped, whether there is a network to remove or not. */
  readonly wait: boolean;
}

const retryMs = 250;

export async function removeStack(
  control: ControlClient,
  name: string,
  options: RemoveOptions,
): Promise<void> {
  const labels = { [namespaceLabel]: name };
  const { signal } = options;
  const files = (["secret", "config"] as const).map((noun) => ({
    noun,
    api: fileApi(control, noun, { signal }),
  }));
  const [{ services }, { networks }, ...fileLists] = await Promise.all([
    control.listServices({ labels }, { signal }),
    control.listNetworks({ labels }, { signal }),
    ...files.map(async ({ noun, api }) => ({ noun, api, objects: await api.list(labels) })),
  ]);
  const fileCount = fileLists.flatMap(({ objects }) => objects).length;
  if (services.length + networks.length + fileCount === 0) {
    throw new Fault("not-found", `Nothing found in stack "${name}": see "swarmctl stack ls"`);
  }
  for (const service of services) {
    options.onStep(`Removing service ${nameOf(service.spec)}`);
    await ignoreMissing(control.removeService({ ref: service.id }, { signal }));
  }
  const inUse: string[] = [];
  for (const { noun, api, objects } of fileLists) {
    for (const object of objects) {
      options.onStep(`Removing ${noun} ${fileName(object)}`);
      await noteRefusal(inUse, ignoreMissing(api.remove(object.id)));
    }
  }
  for (const network of networks) {
    options.onStep(`Removing network ${nameOf(network.spec)}`);
    await noteRefusal(inUse, removeNetwork(control, network.id, options));
  }
  if (options.wait) await waitForTasks(control, services, options);
  if (inUse.length > 0) throw new Fault("failed-precondition", inUse.join("; "));
}

/** What others use stays, and keeps nothing else from going. */
async function noteRefusal(inUse: string[], removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (thrown) {
    const fault = Fault.from(thrown);
    if (fault.code !== "failed-precondition") throw fault;
    inUse.push(fault.message);
  }
}

/** Of a lost node no task ever says that it has stopped; the managers forget it. */
async function waitForTasks(
  control: ControlClient,
  services: readonly Service[],
  { clock, signal }: RemoveOptions,
): Promise<void> {
  if (services.length === 0) return;
  const serviceIds = services.map(({ id }) => id);
  const ids = new Set(serviceIds);
  for (;;) {
    const { tasks } = await control.listTasks({ serviceIds }, { signal });
    const living = tasks.filter(
      ({ serviceId, status }) =>
        ids.has(serviceId) && (status?.state ?? TaskState.NEW) <= TaskState.RUNNING,
    );
    if (living.length === 0) return;
    await clock.sleep(retryMs, signal);
  }
}
