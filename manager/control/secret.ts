/** Secrets as users handle them. No answer ever holds a secret's data. */
import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  CreateSecretRequest,
  RotateSecretRequest,
  UpdateSecretRequest,
} from "#proto/gen/swarm/v1/control_pb.ts";
import { type Secret, SecretSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type SecretSpec, SecretSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { newId } from "#proto/ids.ts";
import { validateSecretSpec } from "../spec/validate-file.ts";
import { resolve } from "../store/resolve.ts";
import type { Store } from "../store/store.ts";
import { changedLabels, refuseUsed, withoutData } from "./file-object.ts";
import { hasLabels } from "./labels.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { rotate } from "./rotate-file.ts";
import { refuseStale } from "./version.ts";

type Methods =
  | "createSecret"
  | "getSecret"
  | "listSecrets"
  | "updateSecret"
  | "removeSecret"
  | "rotateSecret";

export function secretHandlers(
  modules: Pick<ControlModules, "store" | "random">,
): Pick<ControlHandlers, Methods> {
  const { store } = modules;
  return {
    createSecret: async (request) => ({ secret: await createSecret(modules, request) }),
    getSecret: async ({ ref }) => ({ secret: withoutData(resolve(store, "secret", ref)) }),
    listSecrets: async ({ labels }) => ({
      secrets: store
        .list("secret")
        .filter(({ spec }) => hasLabels(spec?.annotations, labels))
        .map(withoutData),
    }),
    updateSecret: async (request) => ({ secret: await updateSecret(store, request) }),
    removeSecret: async ({ ref }) => ({ secretId: await removeSecret(store, ref) }),
    rotateSecret: (request) => rotateSecret(modules, request),
  };
}

async function createSecret(
  { store, random }: Pick<ControlModules, "store" | "random">,
  request: CreateSecretRequest,
): Promise<Secret> {
  const spec = validateSecretSpec(request.spec);
  const id = newId(random);
  const name = spec.annotations?.name ?? "";
  await store.write((view) => {
    if (view.byName("secret", name) !== undefined) {
      throw new Fault("already-exists", `a secret named "${name}" exists already`);
    }
    return [{ action: "create", kind: "secret", object: create(SecretSchema, { id, spec }) }];
  });
  return committed(store, id);
}

async function updateSecret(store: Store, request: UpdateSecretRequest): Promise<Secret> {
  let id = "";
  await store.write((view) => {
    const secret = resolve(view, "secret", request.ref);
    id = secret.id;
    refuseStale(`secret "${secret.spec?.annotations?.name}"`, secret, request.version);
    const annotations = changedLabels("secret", secret, request.spec);
    const before: SecretSpec = secret.spec ?? create(SecretSpecSchema);
    const spec = { ...before, annotations };
    if (equals(SecretSpecSchema, spec, before)) return [];
    return [{ action: "update", kind: "secret", object: { ...secret, spec } }];
  });
  return committed(store, id);
}

async function removeSecret(store: Store, ref: string): Promise<string> {
  let id = "";
  await store.write((view) => {
    const object = resolve(view, "secret", ref);
    id = object.id;
    refuseUsed("secret", object, view);
    return [{ action: "remove", kind: "secret", object }];
  });
  return id;
}

async function rotateSecret(
  modules: Pick<ControlModules, "store" | "random">,
  { ref, data, keptServiceIds }: RotateSecretRequest,
) {
  const { id, serviceIds, unchanged } = await rotate(modules, {
    noun: "secret",
    ref,
    data,
    keptServiceIds,
  });
  return { secret: committed(modules.store, id), serviceIds, unchanged };
}

function committed(store: Store, id: string): Secret {
  const secret = store.get("secret", id);
  if (secret === undefined) throw new Fault("not-found", `secret ${id} was removed meanwhile`);
  return withoutData(secret);
}
