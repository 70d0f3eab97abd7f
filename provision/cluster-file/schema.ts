/** The form of a cluster's file. Each description ends the sentence "hosts.0.address must be …". */
import { optionSchemas } from "./options.ts";

const text = { type: "string", minLength: 1, description: "a text" } as const;
const port = {
  type: "integer",
  minimum: 1,
  maximum: 65_535,
  description: "a port from 1 to 65535",
};

function map(properties: Readonly<Record<string, unknown>>, required: readonly string[] = []) {
  return {
    type: "object",
    properties,
    required,
    additionalProperties: false,
    description: "a map",
  };
}

/** Neither a user nor an option for ssh: those have keys of their own. */
const address = {
  type: "string",
  pattern: "^[A-Za-z0-9_.:%-]*[A-Za-z0-9_.:%]$",
  not: { pattern: "^-" },
  description: "an IP address, or a name that ssh reaches, without user and port",
};

/** As a context is called, which the cluster gets, and as hosts are. */
const name = {
  type: "string",
  pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
  description: "up to 63 letters, digits, '-', '_' and '.', beginning with a letter or digit",
};

const ssh = map({
  user: { ...text, pattern: "^[^-@\\s][^@\\s]*$", description: "a user's name" },
  port,
  key: { ...text, description: "the path of a private key's file" },
  config: { ...text, description: "the path of a configuration of ssh" },
  jump: {
    ...text,
    pattern: "^[^-\\s]\\S*$",
    description: "[user@]host[:port], one or more with commas",
  },
  sudo: { type: "boolean", description: "true or false" },
});

const host = map(
  {
    address,
    name,
    roles: {
      type: "array",
      items: { enum: ["manager", "worker"], description: "manager or worker" },
      minItems: 1,
      uniqueItems: true,
      description: "[manager], [worker] or [manager, worker]",
    },
    labels: {
      type: "object",
      additionalProperties: {
        type: ["string", "number", "boolean"],
        description: "a text, number, true or false",
      },
      propertyNames: { minLength: 1 },
      description: "a map of texts",
    },
    interface: {
      type: "string",
      pattern: "^[^\\s/-][^\\s/]{0,14}$",
      description: "the name of a network interface",
    },
    availability: { enum: ["active", "pause", "drain"], description: "active, pause or drain" },
    ssh,
  },
  ["address"],
);

export const clusterFileSchema = map(
  {
    cluster: name,
    ssh,
    package: { ...text, description: "the path of a package or of a folder with packages" },
    hosts: { type: "array", items: host, minItems: 1, description: "a list of hosts" },
    options: map(optionSchemas),
    backup: map({
      schedule: { ...text, description: 'a cron expression such as "0 3 * * *"' },
      folder: {
        ...text,
        pattern: "^/",
        description: "the absolute path of a folder on the managers",
      },
      keep: { type: "integer", minimum: 1, description: "a whole number of 1 or more" },
    }),
  },
  ["cluster", "hosts"],
);
