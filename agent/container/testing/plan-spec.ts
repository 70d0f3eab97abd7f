/** Plans the OCI spec of a task that asks for little, on a host that has most. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { ResourceRequirementsSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { capabilityNames } from "#proto/kernel-names.ts";
import type { HostFacts } from "../container-host.ts";
import type { HostLimits } from "../host-limits.ts";
import type { HostSecurity } from "../host-security.ts";
import { type ImageDefaults, type OciSpec, planOciSpec } from "../oci-spec.ts";

export type ContainerInit = MessageInitShape<typeof ContainerSpecSchema>;

export interface Given {
  readonly container?: ContainerInit;
  readonly image?: Partial<ImageDefaults>;
  readonly resources?: MessageInitShape<typeof ResourceRequirementsSchema>;
  readonly limits?: Partial<HostLimits>;
  readonly host?: Partial<Omit<HostFacts, "limits" | "security">>;
  readonly security?: Partial<HostSecurity>;
  readonly onHostNetwork?: boolean;
}

export const id = "abcdefghijklmnopqrstuvwxy";
const image = { env: [], entrypoint: [], cmd: ["run"], workingDir: "", user: "" };
const limits = {
  canRaise: false,
  capabilities: capabilityNames,
  oomScoreAdj: 0,
  hardLimits: { nofile: 1000 },
  swapLimit: true,
  swappiness: true,
};
const security = {
  architecture: "amd64",
  kernel: "6.1.0",
  seccomp: true,
  apparmor: false,
  selinux: false,
  thermalPaths: ["/sys/devices/system/cpu/cpu0/thermal_throttle"],
};
const accounts = {
  passwd: "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n",
  group: "root:x:0:\nwww:x:34:\nlogs:x:40:web,other\n",
};

export function plan(given: Given): OciSpec {
  const value = create(ContainerSpecSchema, given.container ?? {});
  const resources =
    given.resources === undefined
      ? {}
      : { resources: create(ResourceRequirementsSchema, given.resources) };
  return planOciSpec({
    task: create(TaskSchema, { id, spec: { runtime: { case: "container", value }, ...resources } }),
    image: { ...image, ...given.image },
    accounts,
    files: { hosts: "/t/hosts", hostname: "/t/hostname", resolvConf: "/t/resolv.conf" },
    rootfs: "/t/1/rootfs",
    networkNamespace: given.onHostNetwork === true ? undefined : "/run/netns/x",
    cgroupParent: "swarm",
    host: {
      limits: { ...limits, ...given.limits },
      security: { ...security, ...given.security },
      cgroupVersion: 1,
      apparmorProfile: undefined,
      devices: [],
      initProgram: undefined,
      ...given.host,
    },
  });
}

export interface Row {
  readonly name: string;
  readonly given: Given;
  readonly seen: (spec: OciSpec) => unknown;
  readonly wanted: unknown;
}

export const mountAt = (path: string) => (spec: OciSpec) =>
  spec.mounts.find(({ destination }) => destination === path);

export const args = ({ process }: OciSpec) => process.args;
