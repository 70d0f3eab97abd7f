/**
 * New data under the name of a secret or config, whose data itself never changes: another object takes the name, the old
 * one stays under "NAME.VERSION" for those who still read it (manager/file-reaper), and services that refer to it, or to one
 * that had the name before, refer to the new one. One transaction, so that nobody sees half of it. Pure.
 *
 * Services roll to it as in every update. A job is not begun anew: its next run has the new data.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type Config,
  ConfigSchema,
  type Secret,
  SecretSchema,
  type Service,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { ConfigSpecSchema, SecretSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { AnnotationsSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { type FileNoun, fileIdsOf, withFileId } from "../file-references.ts";
import { withSpec } from "../service-spec.ts";
import { validateConfigSpec, validateSecretSpec } from "../spec/validate-file.ts";
import type { Action } from "../store/objects.ts";
import { resolve } from "../store/resolve.ts";
import type { View } from "../store/store.ts";
import type { ControlModules } from "./modules.ts";

interface RotationWish {
  readonly noun: FileNoun;
  readonly ref: string;
  readonly data: Uint8Array;
  /** Of services that stay with the old one for now. */
  readonly keptServiceIds: readonly string[];
  /** What the new object shall have. */
  readonly newId: string;
}

interface Rotation {
  readonly actions: readonly Action[];
  /** Of the object that has the data: the new one, or the old one where it has them already. */
  readonly id: string;
  readonly serviceIds: string[];
  readonly unchanged: boolean;
}

/** Carries it out; what others change meanwhile is taken into account. */
export async function rotate(
  { store, random }: Pick<ControlModules, "store" | "random">,
  wish: Omit<RotationWish, "newId">,
): Promise<Omit<Rotation, "actions">> {
  const wanted = { ...wish, newId: newId(random) };
  let rotation: Rotation | undefined;
  await store.write((view) => {
    rotation = planRotation(view, wanted);
    return rotation.actions;
  });
  if (rotation === undefined) throw new Fault("internal", "the rotation was not planned");
  return rotation;
}

function planRotation(view: View, wish: RotationWish): Rotation {
  const { noun, ref, data, newId } = wish;
  const old = resolve(view, noun, ref);
  const name = old.spec?.annotations?.name ?? "";
  if (old.rotatedFrom !== "") {
    const message = `Cannot rotate ${noun} "${name}": it was rotated itself; rotate "${old.rotatedFrom}"`;
    throw new Fault("failed-precondition", message);
  }
  if (Buffer.from(data).equals(old.spec?.data ?? new Uint8Array())) {
    return { actions: [], id: old.id, serviceIds: [], unchanged: true };
  }
  const earlier = view.list(noun).filter(({ rotatedFrom }) => rotatedFrom === name);
  const from = new Set([old, ...earlier].map(({ id }) => id));
  const kept = new Set(wish.keptServiceIds);
  const users = view.list("service").filter(({ id }) => !kept.has(id));
  const services = planServices(users, noun, { from, to: newId });
  return {
    // In this order: the name must be free.
    actions: [planAside(view, noun, old), planNew(noun, { old, newId, data }), ...services.actions],
    id: newId,
    serviceIds: services.ids,
    unchanged: false,
  };
}

function planAside(view: View, noun: FileNoun, old: Secret | Config): Action {
  const { annotations } = old.spec ?? {};
  const rotatedFrom = annotations?.name ?? "";
  const numbered = `${rotatedFrom}.${old.meta?.version?.index ?? 0n}`;
  const name = view.byName(noun, numbered) === undefined ? numbered : `${numbered}.${old.id}`;
  const labels = annotations?.labels ?? {};
  const spec = { ...old.spec, annotations: create(AnnotationsSchema, { name, labels }) };
  // The kind and the object agree: both are of the noun.
  return { action: "update", kind: noun, object: { ...old, rotatedFrom, spec } } as Action;
}

/** With the old one's labels and templating. */
function planNew(
  noun: FileNoun,
  {
    old,
    newId: id,
    data,
  }: { readonly old: Secret | Config } & Pick<RotationWish, "newId" | "data">,
): Action {
  if (noun === "secret") {
    const spec = validateSecretSpec(create(SecretSpecSchema, { ...(old as Secret).spec, data }));
    return { action: "create", kind: noun, object: create(SecretSchema, { id, spec }) };
  }
  const spec = validateConfigSpec(create(ConfigSpecSchema, { ...(old as Config).spec, data }));
  return { action: "create", kind: noun, object: create(ConfigSchema, { id, spec }) };
}

function planServices(
  users: readonly Service[],
  noun: FileNoun,
  ids: { readonly from: ReadonlySet<string>; readonly to: string },
): { readonly actions: readonly Action[]; readonly ids: string[] } {
  const services = users.flatMap((service): readonly Service[] => {
    const { spec } = service;
    const refers = fileIdsOf(noun, spec?.task).some((id) => ids.from.has(id));
    return spec !== undefined && refers ? [withSpec(service, withFileId(noun, spec, ids))] : [];
  });
  return {
    actions: services.map((object) => ({ action: "update", kind: "service", object })),
    ids: services.map(({ id }) => id),
  };
}
