/** Docker's templates for a log's tag, "{{.Name}}/{{.ID}}", with the values that there are here. Pure. */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { containerOf } from "../container/container-of.ts";

/** As much of an ID as people see. */
const shortIdLength = 12;

/** A field that there is not becomes nothing. */
export function expandTag(template: string, task: Task): string {
  const image = containerOf(task)?.image ?? "";
  const values: Readonly<Record<string, string>> = {
    ID: task.id.slice(0, shortIdLength),
    FullID: task.id,
    Name: task.annotations?.name || task.id,
    ImageName: image,
    DaemonName: "swarm",
  };
  return template.replaceAll(
    /\{\{\s*\.(\w+)\s*\}\}/g,
    (_, field: string) => (Object.hasOwn(values, field) && values[field]) || "",
  );
}

/** The container's labels and variables that the driver's options "labels" and "env" name, those that it has. */
export function attributesOf(
  task: Task,
  wanted: { readonly labels: readonly string[]; readonly env: readonly string[] },
): Readonly<Record<string, string>> {
  if (task.spec?.runtime.case !== "container") return {};
  const { labels, env } = task.spec.runtime.value;
  const variables = new Map(
    env.map((entry) => [entry.split("=", 1)[0] ?? "", entry.slice(entry.indexOf("=") + 1)]),
  );
  const found = [
    ...wanted.labels.map((name) => ({ name, value: labels[name] })),
    ...wanted.env.map((name) => ({ name, value: variables.get(name) })),
  ];
  return Object.fromEntries(
    found.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])),
  );
}
