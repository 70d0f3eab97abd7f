/** What a deployment looks at before it plans: the cluster's objects, and which of its files hold what the stack wants. */
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { type FileNoun, fileApi, fileName, type FileWish } from "./file-api.ts";
import type { DeployWorld, StackWish } from "./plan-deploy.ts";
import type { ClusterObjects } from "./plan-prune.ts";
import { type Stack, type StackFileSource, stackOf } from "./stack.ts";

export type ControlClient = Client<typeof ControlService>;

export interface LookOptions {
  readonly signal?: AbortSignal;
}

/** The data of what the stack makes: of a file, of a variable, or what stands in the stack file. */
export type ReadSource = (source: StackFileSource) => Promise<Uint8Array>;

export async function readWish(stack: Stack, read: ReadSource): Promise<StackWish> {
  const wishes = (sources: readonly StackFileSource[]): Promise<FileWish[]> =>
    Promise.all(
      sources.map(async (source) => {
        const { name, labels, templateDriver } = source;
        return { name, labels, templateDriver, data: await read(source) };
      }),
    );
  const [secrets, configs] = await Promise.all([wishes(stack.secrets), wishes(stack.configs)]);
  return { stack, secrets, configs };
}

export async function look(
  control: ControlClient,
  wish: StackWish,
  options: LookOptions,
): Promise<DeployWorld> {
  const [{ services }, { networks }, { secrets }, { configs }] = await Promise.all([
    control.listServices({}, options),
    control.listNetworks({}, options),
    control.listSecrets({}, options),
    control.listConfigs({}, options),
  ]);
  const cluster: ClusterObjects = { services, networks, secrets, configs };
  const changed = await Promise.all([
    changedFiles(control, { noun: "secret", wish, cluster }, options),
    changedFiles(control, { noun: "config", wish, cluster }, options),
  ]);
  return { cluster, changed: new Set(changed.flat()) };
}

interface Files {
  readonly noun: FileNoun;
  readonly wish: StackWish;
  readonly cluster: ClusterObjects;
}

async function changedFiles(
  control: ControlClient,
  { noun, wish, cluster }: Files,
  options: LookOptions,
): Promise<string[]> {
  const api = fileApi(control, noun, options);
  const [wishes, present] =
    noun === "secret" ? [wish.secrets, cluster.secrets] : [wish.configs, cluster.configs];
  const asked = wishes.map(async ({ name, data }) => {
    const object = present.find((one) => fileName(one) === name);
    // Of somebody else's nothing is asked: the plan refuses it.
    if (stackOf(object?.spec?.annotations?.labels) !== wish.stack.name) return [];
    return object === undefined || (await api.holds(object, data)) ? [] : [object.id];
  });
  return (await Promise.all(asked)).flat();
}
