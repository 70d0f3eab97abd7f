/** What a node tells the managers of itself: its name, platform, size and addresses. */
import { availableParallelism, arch, hostname, networkInterfaces, totalmem } from "node:os";
import { create } from "@bufbuild/protobuf";
import { type NodeDescription, NodeDescriptionSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { version } from "#proto/version.ts";

/** Node's names of CPU architectures → those of OCI images. */
const architectures: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  arm64: "arm64",
  arm: "arm",
  ppc64: "ppc64le",
  s390x: "s390x",
  riscv64: "riscv64",
  loong64: "loong64",
};

export function ociArchitecture(): string {
  return architectures[arch()] ?? arch();
}

export function describeNode(options: { dataPathAddress: string }): NodeDescription {
  return create(NodeDescriptionSchema, {
    hostname: hostname(),
    platform: { os: "linux", architecture: ociArchitecture() },
    resources: {
      nanoCpus: BigInt(availableParallelism()) * 1_000_000_000n,
      memoryBytes: BigInt(totalmem()),
    },
    engine: { engineVersion: version },
    dataPathAddress: options.dataPathAddress,
    addresses: ownAddresses(),
  });
}

/** The host's IPv4 addresses that others may see: no loopback (the overlay's gateway addresses are there, too). */
function ownAddresses(): string[] {
  return Object.entries(networkInterfaces())
    .filter(([name]) => name !== "lo")
    .flatMap(([, addresses]) => addresses ?? [])
    .filter((address) => address.family === "IPv4" && !address.address.startsWith("169.254."))
    .map((address) => address.address);
}
