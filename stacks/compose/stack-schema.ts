/**
 * The whole of what a stack file may say, as a JSON Schema: the compose file format 3 as Docker's stacks take it, and the
 * Compose Specification. What a cluster cannot do, and what ours does not do, is refused elsewhere, by name.
 */
import { deploySchema } from "./deploy-schema.ts";
import { serviceExtensions } from "./extensions.ts";
import { serviceFilesSchema, topFilesSchema } from "./files-schema.ts";
import { attachmentsSchema, networkSchema, portsSchema } from "./network-schema.ts";
import { hostSchema, processSchema } from "./process-schema.ts";
import {
  anything,
  choice,
  flag,
  list,
  listOf,
  map,
  name,
  namesOr,
  section,
  text,
  texts,
  whole,
  word,
  words,
} from "./schema-parts.ts";

const dependency = map(
  {
    condition: choice("service_started", "service_healthy", "service_completed_successfully"),
    required: flag,
    restart: flag,
  },
  ["condition"],
);

const extended = {
  ...map({ service: name, file: name }, ["service"]),
  type: ["string", "object"],
  description: "a service, or a map of service and file",
};

/** What only builds, links and developers need: known, so that each can be answered with its reason. */
const elsewhereSchema = {
  attach: anything,
  build: anything,
  develop: anything,
  external_links: texts,
  links: texts,
  models: anything,
  provider: anything,
  pull_refresh_after: text,
  use_api_socket: flag,
} as const;

const service = map({
  ...processSchema,
  ...hostSchema,
  ...serviceFilesSchema,
  ...elsewhereSchema,
  container_name: text,
  depends_on: namesOr(dependency, "a list of services or a map"),
  deploy: deploySchema,
  dns: words,
  dns_opt: texts,
  dns_search: words,
  domainname: text,
  expose: list(word, "a list of ports"),
  extends: extended,
  extra_hosts: {
    type: ["array", "object"],
    items: text,
    additionalProperties: words,
    description: "a list of NAME:IP or a map",
  },
  mac_address: text,
  network_mode: text,
  networks: attachmentsSchema,
  ports: portsSchema,
  scale: whole,
  ...serviceExtensions,
});

const included = map({ path: words, project_directory: name, env_file: words }, ["path"]);

export const stackSchema = map({
  version: {
    type: ["string", "number"],
    pattern: "^3(\\.[0-9]{1,2})?$",
    minimum: 3,
    exclusiveMaximum: 4,
    description: 'a version of the Compose file format 3, such as "3.8", or left out',
  },
  name,
  include: listOf(included, "a list of files"),
  services: section(service),
  networks: section(networkSchema),
  models: anything,
  ...topFilesSchema,
});
