/**
 * What a stack file may say today, as a JSON Schema. A key that is not here is refused by name, so a key is added when the
 * engine honours it and not before. Each description ends the sentence "services.web.image must be …".
 */
import { containerSchema, resourcesSchema } from "./container-schema.ts";
import { serviceFilesSchema, topFilesSchema } from "./files-schema.ts";
import { endpointModeSchema, portsSchema } from "./ports-schema.ts";
import { flag, labels, map, named, orNull, pairs, scalar, text, words } from "./schema-parts.ts";

const count = {
  type: "integer",
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: "a whole number of 0 or more",
} as const;
const restartPolicy = map({
  condition: { enum: ["none", "on-failure", "any"], description: "none, on-failure or any" },
  delay: { type: "string", description: "a duration such as 5s" },
  max_attempts: count,
  window: { type: "string", description: "a duration such as 2m" },
});

const replacement = {
  parallelism: count,
  delay: { type: "string", description: "a duration such as 5s" },
  monitor: { type: "string", description: "a duration such as 5s" },
  max_failure_ratio: {
    type: "number",
    minimum: 0,
    maximum: 1,
    description: "a ratio from 0 to 1",
  },
  order: { enum: ["stop-first", "start-first"], description: "stop-first or start-first" },
  "x-progress-deadline": { type: "string", description: "a duration such as 10m" },
} as const;

const updateConfig = map({
  ...replacement,
  failure_action: {
    enum: ["pause", "continue", "rollback"],
    description: "pause, continue or rollback",
  },
});

const rollbackConfig = map({
  ...replacement,
  failure_action: { enum: ["pause", "continue"], description: "pause or continue" },
});

const duration = { type: "string", description: "a duration such as 5s" } as const;

const healthcheck = map({
  disable: flag,
  test: words,
  interval: duration,
  timeout: duration,
  start_period: duration,
  start_interval: duration,
  retries: { ...count, maximum: 1_000_000 },
});

/** Ours: one for each replica; Docker has one, for one container. */
const addresses = {
  type: ["string", "array"],
  items: text,
  description: "an IP address, or a list of one for each replica",
} as const;

const attachments = {
  type: ["object", "array"],
  items: text,
  additionalProperties: orNull(
    map({
      aliases: { type: "array", items: text, description: "a list of strings" },
      ipv4_address: addresses,
      ipv6_address: addresses,
    }),
  ),
  description: "a list of networks or a map",
};

const service = map(
  {
    image: { type: "string", minLength: 1, description: "the name of an image" },
    command: words,
    entrypoint: words,
    environment: pairs,
    healthcheck,
    hostname: text,
    logging: map({ driver: text, options: named(scalar) }),
    networks: attachments,
    ports: portsSchema,
    ...containerSchema,
    ...serviceFilesSchema,
    deploy: map({
      endpoint_mode: endpointModeSchema,
      replicas: count,
      resources: map({
        limits: map(resourcesSchema.limits),
        reservations: map(resourcesSchema.reservations),
      }),
      restart_policy: restartPolicy,
      rollback_config: rollbackConfig,
      update_config: updateConfig,
    }),
  },
  ["image"],
);

const subnet = map(
  {
    subnet: { type: "string", description: "a subnet such as 10.1.0.0/24" },
    gateway: { type: "string", description: "an address of the subnet" },
    ip_range: { type: "string", description: "a part of the subnet" },
    aux_addresses: named({ type: "string", description: "an address of the subnet" }),
  },
  ["subnet"],
);

const network = orNull(
  map({
    name: { type: "string", minLength: 1, description: "a name" },
    driver: text,
    internal: flag,
    attachable: flag,
    external: flag,
    enable_ipv6: flag,
    driver_opts: named(scalar),
    labels,
    ipam: map({
      driver: { enum: ["default"], description: "default" },
      config: { type: "array", items: subnet, description: "a list of subnets" },
    }),
  }),
);

export const stackSchema = map(
  {
    version: {
      type: ["string", "number"],
      pattern: "^3(\\.[0-9]{1,2})?$",
      minimum: 3,
      exclusiveMaximum: 4,
      description: 'a version of the Compose file format 3, such as "3.8", or left out',
    },
    services: named(service),
    networks: named(network),
    ...topFilesSchema,
  },
  ["services"],
);
