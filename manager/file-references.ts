/** Which secrets and configs a spec refers to, and the same spec referring to others. Pure. */
import type { ContainerSpec, ServiceSpec, TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { changeContainer } from "./registry-login.ts";

export type FileNoun = "secret" | "config";

/** The IDs of the secrets, or of the configs, that containers of the task read. */
export function fileIdsOf(noun: FileNoun, task: TaskSpec | undefined): readonly string[] {
  const container = task?.runtime.case === "container" ? task.runtime.value : undefined;
  if (container === undefined) return [];
  return noun === "secret"
    ? container.secrets.map(({ secretId }) => secretId)
    : container.configs.map(({ configId }) => configId);
}

/** References keep their names and places: what the name stands for is another object. */
export function withFileId(
  noun: FileNoun,
  spec: ServiceSpec,
  { from, to }: { readonly from: ReadonlySet<string>; readonly to: string },
): ServiceSpec {
  return changeContainer(spec, (container): ContainerSpec => {
    if (noun === "secret") {
      const secrets = container.secrets.map((reference) =>
        from.has(reference.secretId) ? { ...reference, secretId: to } : reference,
      );
      return { ...container, secrets };
    }
    const configs = container.configs.map((reference) =>
      from.has(reference.configId) ? { ...reference, configId: to } : reference,
    );
    return { ...container, configs };
  });
}
