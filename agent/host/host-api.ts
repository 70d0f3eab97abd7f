/** What this node says of the host that it is on: what it lacks, and how it is, for those who look for a fault. */
import { create } from "@bufbuild/protobuf";
import { CheckHostResponseSchema, type HostService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { version } from "#proto/version.ts";
import { type CheckModules, type CheckOptions, checkHost } from "./check-host.ts";
import { collectSupport } from "./collect-support.ts";

export type HostApiOptions = CheckOptions;

export interface HostApiModules extends CheckModules {
  readonly clock: Clock;
}

export function hostHandlers(
  options: HostApiOptions,
  modules: HostApiModules,
): Handlers<typeof HostService> {
  return {
    checkHost: async () => {
      const report = await checkHost(options, modules);
      const now = timestampFromMs(modules.clock.now());
      return create(CheckHostResponseSchema, { report, now, version });
    },
    collectSupport: ({ fileBytesMax }) => collectSupport({ ...options, fileBytesMax }, modules),
  };
}
