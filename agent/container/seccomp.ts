/**
 * A seccomp profile → the filter that the runtime loads for one container: conditions on the architecture, the
 * container's capabilities and the kernel are decided here, as Docker does. Pure.
 */
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { SeccompMode } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  parseSeccompProfile,
  type SeccompArg,
  type SeccompCondition,
  type SeccompProfile,
} from "#proto/seccomp-profile.ts";
import { defaultSeccompProfile } from "./seccomp-default.ts";

export interface SeccompFacts {
  /** As OCI images name it. */
  readonly architecture: string;
  /** The kernel's release, such as "6.1.0-18-amd64". */
  readonly kernel: string;
  /** The kernel can filter system calls. */
  readonly seccomp: boolean;
}

export interface OciSeccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures: readonly string[];
  readonly flags: readonly string[];
  readonly syscalls: readonly OciSyscall[];
}

interface OciSyscall {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args: readonly SeccompArg[];
}

/** Undefined: no filter. A privileged container has one only where somebody gave it one of its own (Docker). */
export function seccompOf(
  spec: Pick<ContainerSpec, "privileges" | "privileged">,
  capabilities: readonly string[],
  facts: SeccompFacts,
): OciSeccomp | undefined {
  const { mode = SeccompMode.DEFAULT, profile } = spec.privileges?.seccomp ?? {};
  if (mode === SeccompMode.CUSTOM) {
    if (!facts.seccomp) {
      throw new Fault(
        "failed-precondition",
        "privileges.seccomp has a profile, but this host's kernel has no seccomp: leave it out",
      );
    }
    return planSeccomp(parseSeccompProfile(profile ?? new Uint8Array()), capabilities, facts);
  }
  if (mode === SeccompMode.UNCONFINED || spec.privileged || !facts.seccomp) return undefined;
  return planSeccomp(defaultSeccompProfile, capabilities, facts);
}

export function planSeccomp(
  profile: SeccompProfile,
  capabilities: readonly string[],
  facts: Pick<SeccompFacts, "architecture" | "kernel">,
): OciSeccomp {
  const { defaultAction, defaultErrnoRet, flags } = profile;
  const meets = (condition: SeccompCondition) => whatHolds(condition, capabilities, facts);
  const rules = profile.rules.filter(
    ({ includes, excludes }) =>
      meets(includes).every((holds) => holds) && !meets(excludes).some((holds) => holds),
  );
  return {
    defaultAction,
    ...(defaultErrnoRet !== undefined && { defaultErrnoRet }),
    architectures: architecturesOf(profile, facts.architecture),
    flags,
    syscalls: rules.map(({ names, action, errnoRet, args }) => ({
      names,
      action,
      ...(errnoRet !== undefined && { errnoRet }),
      args,
    })),
  };
}

/** One answer for each thing that the condition names; none for what it does not. */
function whatHolds(
  { arches = [], caps = [], minKernel }: SeccompCondition,
  capabilities: readonly string[],
  { architecture, kernel }: Pick<SeccompFacts, "architecture" | "kernel">,
): boolean[] {
  return [
    ...(arches.length > 0 ? [arches.includes(architecture)] : []),
    ...caps.map((name) => capabilities.includes(name)),
    ...(minKernel === undefined ? [] : [isKernelAtLeast(kernel, minKernel)]),
  ];
}

function isKernelAtLeast(kernel: string, wanted: string): boolean {
  const [major = 0, minor = 0] = kernel.split(".", 2).map((part) => Number.parseInt(part, 10));
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split(".", 2).map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

/** OCI's name of an architecture → libseccomp's. */
const nativeNames: Readonly<Record<string, string>> = {
  "386": "SCMP_ARCH_X86",
  amd64: "SCMP_ARCH_X86_64",
  arm: "SCMP_ARCH_ARM",
  arm64: "SCMP_ARCH_AARCH64",
  loong64: "SCMP_ARCH_LOONGARCH64",
  ppc64le: "SCMP_ARCH_PPC64LE",
  riscv64: "SCMP_ARCH_RISCV64",
  s390x: "SCMP_ARCH_S390X",
};

function architecturesOf(profile: SeccompProfile, architecture: string): readonly string[] {
  if (profile.architectures.length > 0) return profile.architectures;
  const native = nativeNames[architecture];
  const entry = profile.archMap.find((candidate) => candidate.architecture === native);
  return entry === undefined ? [] : [entry.architecture, ...entry.subArchitectures];
}
