/** What a stack file may say of volumes, secrets and configs: at its top, and in its services; as JSON Schemas. */
import {
  choice,
  flag,
  listOf,
  map,
  name,
  named,
  orNull,
  pairs,
  scalar,
  section,
  text,
  texts,
  word,
  words,
} from "./schema-parts.ts";

const mount = map(
  {
    type: choice("bind", "volume", "tmpfs", "npipe", "cluster", "image"),
    source: text,
    target: text,
    read_only: flag,
    consistency: text,
    bind: map({
      propagation: choice("rprivate", "private", "rshared", "shared", "rslave", "slave"),
      create_host_path: flag,
      recursive: choice("enabled", "disabled", "writable", "readonly"),
      selinux: choice("z", "Z"),
    }),
    volume: map({ nocopy: flag, subpath: text, labels: pairs }),
    tmpfs: map({ size: word, mode: word }),
    image: map({ subpath: text }),
    cluster: map({}),
  },
  ["type"],
);

const reference = map({ source: name, target: text, uid: word, gid: word, mode: word }, ["source"]);

export const serviceFilesSchema = {
  volumes: listOf(mount, "a list of volumes"),
  volumes_from: texts,
  volume_driver: text,
  tmpfs: words,
  secrets: listOf(reference, "a list of secrets"),
  configs: listOf(reference, "a list of configs"),
} as const;

export const external = {
  ...map({ name }),
  type: ["boolean", "object"],
  description: "true or false",
};

const file = map({
  name,
  external,
  file: name,
  environment: name,
  content: text,
  labels: pairs,
  driver: text,
  driver_opts: named(scalar),
  template_driver: text,
});

export const topFilesSchema = {
  volumes: section(
    orNull(map({ name, external, driver: text, driver_opts: named(scalar), labels: pairs })),
  ),
  secrets: section(orNull(file)),
  configs: section(orNull(file)),
};
