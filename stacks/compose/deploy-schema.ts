/** What a service of a stack file may say of its deployment, as a JSON Schema. */
import { deployExtensions, updateExtensions } from "./extensions.ts";
import { deviceRequests } from "./process-schema.ts";
import {
  amount,
  choice,
  count,
  cpus,
  duration,
  list,
  map,
  orNull,
  pairs,
  text,
  texts,
  whole,
} from "./schema-parts.ts";

const restartPolicy = map({
  condition: choice("none", "on-failure", "any"),
  delay: duration,
  max_attempts: count,
  window: duration,
});

const replacement = {
  parallelism: count,
  delay: duration,
  monitor: duration,
  max_failure_ratio: {
    type: "number",
    minimum: 0,
    maximum: 1,
    description: "a ratio from 0 to 1",
  },
  order: choice("stop-first", "start-first"),
  ...updateExtensions,
} as const;

const generic = map({ discrete_resource_spec: map({ kind: text, value: whole }) });

const resources = map({
  limits: map({ cpus, memory: amount, pids: whole }),
  reservations: map({
    cpus,
    memory: amount,
    generic_resources: list(generic, "a list of resources"),
    devices: deviceRequests,
  }),
});

const placement = map({
  constraints: texts,
  preferences: list(map({ spread: text }), "a list of preferences"),
  max_replicas_per_node: count,
});

export const deploySchema = orNull(
  map({
    mode: choice("replicated", "global", "replicated-job", "global-job"),
    endpoint_mode: choice("vip", "dnsrr"),
    replicas: count,
    labels: pairs,
    resources,
    restart_policy: restartPolicy,
    update_config: map({
      ...replacement,
      failure_action: choice("pause", "continue", "rollback"),
    }),
    rollback_config: map({
      ...replacement,
      failure_action: choice("pause", "continue"),
    }),
    placement,
    ...deployExtensions,
  }),
);
