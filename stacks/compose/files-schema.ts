/** What a stack file may say of volumes, secrets and configs: at its top, and in its services. */
import { flag, labels, map, named, orNull, scalar, text, word, words } from "./schema-parts.ts";

const name = { type: "string", minLength: 1, description: "a name" } as const;
function listOf(item: ReturnType<typeof map>, description: string) {
  return {
    type: "array",
    items: { ...item, type: ["string", "object"], description: "a string or a map" },
    description,
  };
}

function choice(...choices: string[]) {
  return { enum: choices, description: `one of ${choices.join(", ")}` };
}

const mount = map(
  {
    type: choice("bind", "volume", "tmpfs", "npipe", "cluster"),
    source: text,
    target: text,
    read_only: flag,
    consistency: text,
    bind: map({
      propagation: choice("rprivate", "private", "rshared", "shared", "rslave", "slave"),
      create_host_path: flag,
      recursive: choice("enabled", "disabled", "writable", "readonly"),
    }),
    volume: map({ nocopy: flag, subpath: text }),
    tmpfs: map({ size: word, mode: word }),
  },
  ["type", "target"],
);

const reference = map({ source: name, target: text, uid: text, gid: text, mode: word }, ["source"]);

export const serviceFilesSchema = {
  volumes: listOf(mount, "a list of volumes"),
  tmpfs: words,
  secrets: listOf(reference, "a list of secrets"),
  configs: listOf(reference, "a list of configs"),
};

const external = { ...map({ name }), type: ["boolean", "object"], description: "true or false" };
const file = map({
  name,
  external,
  file: name,
  environment: name,
  content: text,
  labels,
  template_driver: text,
});

export const topFilesSchema = {
  volumes: named(
    orNull(
      map({
        name,
        external,
        driver: text,
        driver_opts: named(scalar),
        labels,
      }),
    ),
  ),
  secrets: named(orNull(file)),
  configs: named(orNull(file)),
};
