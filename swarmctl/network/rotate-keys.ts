import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { EncryptionConfigSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { changeCluster } from "../cluster/change-cluster.ts";
import type { Context } from "../context.ts";

export function define(command: Command, context: Context): void {
  command.action(async () => {
    const control = await context.control();
    await changeCluster(control, (spec) => {
      const encryption = spec.encryption ?? create(EncryptionConfigSchema);
      const networkKeyRotations = encryption.networkKeyRotations + 1n;
      return { ...spec, encryption: { ...encryption, networkKeyRotations } };
    });
    context.print("Every node renews its key within a few seconds, or when it is back.");
  });
}
