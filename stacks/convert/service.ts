/** One service of a stack file → its ServiceSpec. */
import { create } from "@bufbuild/protobuf";
import {
  type ServiceSpec,
  ServiceSpecSchema,
  TaskSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Driver, DriverSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseLogDriver } from "#proto/log-driver.ts";
import type { ServiceEntry } from "../compose/compose-file.ts";
import { imageLabel, isName, namespaceLabel } from "../stack.ts";
import { containerSpec } from "./container.ts";
import { dependencies } from "./dependencies.ts";
import { modeOf } from "./mode.ts";
import { attachments } from "./networks.ts";
import { placement } from "./placement.ts";
import { endpoint } from "./ports.ts";
import { Reader, type StackContext } from "./reader.ts";
import { resourceRequirements } from "./resources.ts";
import { restartPolicy } from "./restart.ts";
import { autoscale, schedule } from "./schedule.ts";
import { updateConfig } from "./update.ts";

export function serviceSpec(context: StackContext, key: string, entry: ServiceEntry): ServiceSpec {
  const reader = new Reader(context, ["services", key]);
  if (!isName(key)) {
    throw reader.fault("is not a name for a service: use letters, digits, - and _");
  }
  const { deploy = {} } = entry;
  const place = reader.under("deploy");
  const labels = {
    ...deploy.labels,
    [namespaceLabel]: context.name,
    [imageLabel]: entry.image ?? "",
  };
  return create(ServiceSpecSchema, {
    annotations: { name: `${context.name}_${key}`, labels },
    mode: modeOf(reader, entry),
    task: taskSpec(reader, key, entry),
    dependsOn: dependencies(reader, entry),
    ...definite({
      endpoint: endpoint(reader, entry),
      update: updateConfig(place.under("update_config"), deploy.update_config),
      rollback: updateConfig(place.under("rollback_config"), deploy.rollback_config),
      schedule: schedule(place, deploy),
      autoscale: autoscale(place, deploy),
    }),
  });
}

function taskSpec(reader: Reader, key: string, entry: ServiceEntry) {
  return create(TaskSpecSchema, {
    runtime: { case: "container", value: containerSpec(reader, entry) },
    restart: restartPolicy(reader, entry),
    networks: attachments(reader, key, entry),
    priority: entry.deploy?.["x-priority"] ?? 0,
    ...definite({
      resources: resourceRequirements(reader, entry),
      placement: placement(reader, entry),
      logDriver: logDriver(reader.under("logging"), entry),
    }),
  });
}

function logDriver(reader: Reader, { logging }: ServiceEntry): Driver | undefined {
  if (logging === undefined) return undefined;
  const { driver = "", options = {} } = logging;
  const given = create(DriverSchema, { name: driver, options: { ...options } });
  reader.parsed(() => parseLogDriver(given));
  return given;
}

type Definite<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the keys whose value is undefined. */
function definite<T extends object>(given: T): Definite<T> {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Definite<T>;
}
