/** The names of what there is, by what an argument or a flag is called. */
import type { Config, Secret } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context, ControlClient } from "../context.ts";
import { taskName } from "../service/words.ts";

/** Who waits for a completion longer than this types the name. */
const deadlineMs = 1_000;

type Names = (control: ControlClient) => Promise<readonly string[]>;

const call = { deadlineMs };

const stackLabel = "com.docker.stack.namespace";

const ofCluster = {
  node: async (control) => {
    const { nodes } = await control.listNodes({}, call);
    return nodes.map(({ id, description }) => description?.hostname || id);
  },
  service: async (control) => {
    const { services } = await control.listServices({}, call);
    return services.map(({ id, spec }) => spec?.annotations?.name ?? id);
  },
  stack: async (control) => {
    const { services } = await control.listServices({}, call);
    return services.flatMap(({ spec }) => spec?.annotations?.labels[stackLabel] ?? []);
  },
  task: async (control) => {
    const { tasks } = await control.listTasks({ runningOnly: true }, call);
    return tasks.map(taskName);
  },
  network: async (control) => namesIn((await control.listNetworks({}, call)).networks),
  secret: async (control) => namesIn((await control.listSecrets({}, call)).secrets),
  config: async (control) => namesIn((await control.listConfigs({}, call)).configs),
} satisfies Record<string, Names>;

type NameKind = keyof typeof ofCluster | "context" | "volume" | "image";

export function isNameKind(word: string): word is NameKind {
  return Object.hasOwn(ofCluster, word) || ["context", "volume", "image"].includes(word);
}

export async function namesOf(kind: NameKind, context: Context): Promise<readonly string[]> {
  return [...new Set(await allNamesOf(kind, context))].toSorted();
}

async function allNamesOf(kind: NameKind, context: Context): Promise<readonly string[]> {
  if (kind === "context") return ["default", ...(await context.contexts().names())];
  if (kind === "volume") return await volumeNames(context);
  if (kind === "image") return await imageNames(context);
  return await ofCluster[kind](await context.control({ stale: true }));
}

/** Of all nodes: the one who asks waits for the slowest. */
async function volumeNames(context: Context): Promise<readonly string[]> {
  const { onNodes } = await import("../node-call.ts");
  const { VolumeService } = await import("#proto/gen/swarm/v1/engine_pb.ts");
  const answers = await onNodes(context, VolumeService, {}, (client) =>
    client.listVolumes({ withSize: false }, call),
  );
  return answers.flatMap(({ answer }) => answer.volumes.map(({ name }) => name));
}

async function imageNames(context: Context): Promise<readonly string[]> {
  const { onNodes } = await import("../node-call.ts");
  const { familiarName } = await import("../image/on-nodes.ts");
  const { ImageService } = await import("#proto/gen/swarm/v1/engine_pb.ts");
  const answers = await onNodes(context, ImageService, {}, (client) => client.listImages({}, call));
  return answers.flatMap(({ answer }) =>
    answer.images.flatMap(({ references }) => references.map(familiarName)),
  );
}

function namesIn(objects: readonly Pick<Network | Secret | Config, "spec">[]): readonly string[] {
  return objects.flatMap(({ spec }) => spec?.annotations?.name ?? []);
}
