/** What a node tells the managers of itself: its name, platform, size and addresses. */
import { readFileSync } from "node:fs";
import { availableParallelism, arch, hostname, totalmem } from "node:os";
import { create } from "@bufbuild/protobuf";
import {
  type GenericResource,
  type NodeDescription,
  NodeDescriptionSchema,
  type NodeTlsInfo,
  NodeTlsInfoSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import {
  certificateDigest,
  parseCertificate,
  publicKeyHash,
  splitCertificates,
  validityOf,
} from "#proto/tls/certificate.ts";
import { timestampFromMs } from "#proto/time.ts";
import { version } from "#proto/version.ts";
import { type Platform, variantOf } from "#registry/platform.ts";
import { ownAddresses } from "./own-addresses.ts";

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

/** What images must be for. */
export function hostPlatform(): Platform {
  const architecture = ociArchitecture();
  const variant = variantOf(architecture, readFileSync("/proc/cpuinfo", "utf8"));
  return { os: "linux", architecture, ...(variant !== undefined && { variant }) };
}

export interface NodeDescriptionOptions {
  readonly dataPathAddress: string;
  /** HOST:PORT; absent like the identity. */
  readonly engineAddress?: string;
  /** Absent: the host is no node yet. */
  readonly identity?: TlsIdentity;
  /** Absent: the node cannot carry encrypted networks, or is none yet. */
  readonly encryptionKey?: string;
  /** What the administrator says of it. */
  readonly genericResources?: readonly GenericResource[];
  readonly labels?: Readonly<Record<string, string>>;
}

export function describeNode(options: NodeDescriptionOptions): NodeDescription {
  const { identity } = options;
  return create(NodeDescriptionSchema, {
    hostname: hostname(),
    platform: { os: "linux", architecture: ociArchitecture() },
    resources: {
      nanoCpus: BigInt(availableParallelism()) * 1_000_000_000n,
      memoryBytes: BigInt(totalmem()),
      generic: [...(options.genericResources ?? [])],
    },
    engine: { engineVersion: version, labels: { ...options.labels } },
    dataPathAddress: options.dataPathAddress,
    addresses: [...ownAddresses()],
    engineAddress: options.engineAddress ?? "",
    encryptionKey: options.encryptionKey ?? "",
    ...(identity !== undefined && { tls: tlsInfoOf(identity) }),
  });
}

/** The issuer is told by its signature: all authorities of a cluster have one name. */
export function tlsInfoOf(identity: TlsIdentity): NodeTlsInfo {
  const [own, ...intermediates] = splitCertificates(identity.certificate).map(parseCertificate);
  const roots = splitCertificates(identity.caCertificates);
  const validity = own === undefined ? undefined : validityOf(own);
  const issuer = [...intermediates, ...roots.map(parseCertificate)].find(
    (authority) => own?.verify(authority.publicKey) === true,
  );
  return create(NodeTlsInfoSchema, {
    trustedRoots: roots.map(certificateDigest),
    issuerKeyHash: issuer === undefined ? "" : publicKeyHash(issuer),
    ...(validity !== undefined && {
      notBefore: timestampFromMs(validity.notBeforeMs),
      notAfter: timestampFromMs(validity.notAfterMs),
    }),
  });
}
