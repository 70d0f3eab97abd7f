/** What secrets and configs have in common: data that stays as it was created, labels that may change, users. */
import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Config, Secret } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type Annotations,
  AnnotationsSchema,
  type Driver,
  DriverSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { type FileNoun, fileIdsOf } from "../file-references.ts";
import { isStillNeeded } from "../file-reaper/plan-file-reap.ts";
import { checkLabels } from "../spec/field.ts";
import type { View } from "../store/store.ts";

/** As those see it who are to know that it is there, and not what it holds. */
export function withoutData<F extends Secret | Config>(file: F): F {
  const { spec } = file;
  return spec === undefined ? file : { ...file, spec: { ...spec, data: new Uint8Array() } };
}

/** The annotations of an update that changes labels and nothing else; a Fault names what else it would change. */
export function changedLabels(
  noun: FileNoun,
  before: Pick<Secret | Config, "spec">,
  wanted: Secret["spec"] | Config["spec"],
): Annotations {
  const name = before.spec?.annotations?.name ?? "";
  const { data = new Uint8Array(), annotations, templating } = wanted ?? {};
  const kept =
    (annotations?.name ?? "") === name &&
    (data.length === 0 || Buffer.from(data).equals(before.spec?.data ?? new Uint8Array())) &&
    sameDriver(templating, before.spec?.templating);
  if (!kept) {
    const message = `Cannot change ${noun} "${name}": only its labels can change; create another ${noun} and let services use that`;
    throw new Fault("invalid-argument", message);
  }
  checkLabels(annotations);
  return create(AnnotationsSchema, { name, labels: annotations?.labels ?? {} });
}

function sameDriver(a: Driver | undefined, b: Driver | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return equals(DriverSchema, a, b);
}

/** Refuses to remove what services refer to, in words that name them. */
export function refuseUsed(
  noun: FileNoun,
  object: Secret | Config,
  view: Pick<View, "list" | "tasksOfService">,
): void {
  const { id, spec } = object;
  const users = view
    .list("service")
    .filter(({ spec: service }) => fileIdsOf(noun, service?.task).includes(id));
  if (users.length === 0) {
    if (!isStillNeeded(view, noun, object)) return;
    const message = `Cannot remove ${noun} "${spec?.annotations?.name}": it was rotated, and tasks still read it, or an update may go back to it; it goes by itself after that`;
    throw new Fault("failed-precondition", message);
  }
  const names = users.map((service) => `"${service.spec?.annotations?.name}"`).join(", ");
  const services = users.length === 1 ? "service" : "services";
  const message = `Cannot remove ${noun} "${spec?.annotations?.name}": it is used by ${services} ${names}`;
  throw new Fault("failed-precondition", message);
}
