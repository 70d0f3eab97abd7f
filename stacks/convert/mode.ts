/** How many tasks a service has: `deploy.mode` and `replicas`, `scale` of the Compose Specification, our `x-max-concurrent`. */
import { create } from "@bufbuild/protobuf";
import {
  GlobalJobSchema,
  GlobalServiceSchema,
  ReplicatedJobSchema,
  ReplicatedServiceSchema,
  type ServiceSpec,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import type { ServiceEntry } from "../compose/compose-file.ts";
import type { Reader } from "./reader.ts";

/** As the file says it; undefined where it says nothing. `reader`: of the service. */
export function replicasOf(reader: Reader, { deploy, scale }: ServiceEntry): number | undefined {
  const replicas = deploy?.replicas;
  if (scale !== undefined && replicas !== undefined && scale !== replicas) {
    throw reader.under("scale").fault("says something else than deploy.replicas: leave it out");
  }
  return replicas ?? scale;
}

export function modeOf(reader: Reader, entry: ServiceEntry): ServiceSpec["mode"] {
  const { mode = "replicated", "x-max-concurrent": concurrent } = entry.deploy ?? {};
  const given = replicasOf(reader, entry);
  const deploy = reader.under("deploy");
  if (concurrent !== undefined && mode !== "replicated-job") {
    throw deploy.under("x-max-concurrent").fault("goes with mode replicated-job alone");
  }
  if (given !== undefined && (mode === "global" || mode === "global-job")) {
    const place =
      entry.deploy?.replicas === undefined ? reader.under("scale") : deploy.under("replicas");
    throw place.fault(`does not go with mode ${mode}, which has a task on each node`);
  }
  const replicas = BigInt(given ?? 1);
  switch (mode) {
    case "replicated":
      return { case: "replicated", value: create(ReplicatedServiceSchema, { replicas }) };
    case "global":
      return { case: "global", value: create(GlobalServiceSchema) };
    case "global-job":
      return { case: "globalJob", value: create(GlobalJobSchema) };
    case "replicated-job": {
      const maxConcurrent = BigInt(concurrent ?? replicas);
      const value = create(ReplicatedJobSchema, { maxConcurrent, totalCompletions: replicas });
      return { case: "replicatedJob", value };
    }
  }
}
