/** Takes in a backup's file, as swarmctl sends it. Whether it is whole is the manager's to find out. */
import { open } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";
import type { RestoreClusterRequest } from "#proto/gen/swarm/v1/node_pb.ts";

export type RestoreOptions = Pick<
  RestoreClusterRequest,
  "listenAddress" | "advertiseAddress" | "dataPathAddress" | "unlockKey"
>;

/** Writes the data to `path`, for root alone; gives the options, which come with the first message. */
export async function receiveBackup(
  requests: AsyncIterable<RestoreClusterRequest>,
  path: string,
): Promise<RestoreOptions> {
  let options: RestoreOptions | undefined;
  await using file = await open(path, "w", 0o600);
  for await (const {
    data,
    listenAddress,
    advertiseAddress,
    dataPathAddress,
    unlockKey,
  } of requests) {
    options ??= { listenAddress, advertiseAddress, dataPathAddress, unlockKey };
    await file.writeFile(data);
  }
  if (options === undefined) throw new Fault("invalid-argument", "the backup's file is empty");
  return options;
}
