/** What a host can say of itself at no cost: its clock, and how full the disk is that holds swarmd's data. */
import { statfs } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";
import type { EngineService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { timestampFromMs } from "#proto/time.ts";

export function hostStateHandlers(
  folder: string,
  { clock }: { readonly clock: Clock },
): Pick<Handlers<typeof EngineService>, "getHostState"> {
  return {
    getHostState: async () => {
      const { bsize, blocks, bavail } = await statfs(folder, { bigint: true }).catch((thrown) => {
        throw Fault.wrap(`Cannot see how full the disk of "${folder}" is`, thrown);
      });
      return {
        now: timestampFromMs(clock.now()),
        diskBytes: bsize * blocks,
        diskFreeBytes: bsize * bavail,
      };
    },
  };
}
