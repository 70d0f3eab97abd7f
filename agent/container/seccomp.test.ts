import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { SeccompMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { capabilityNames } from "#proto/kernel-names.ts";
import { planCapabilities } from "./capabilities.ts";
import { defaultSeccompProfile } from "./seccomp-default.ts";
import { planSeccomp, seccompOf } from "./seccomp.ts";

const facts = { architecture: "amd64", kernel: "6.1.0-18-amd64", seccomp: true };
const usual = planCapabilities(create(ContainerSpecSchema), capabilityNames);

interface Given {
  readonly architecture?: string;
  readonly kernel?: string;
  readonly add?: readonly string[];
}

/** How the default profile treats a call, by its arguments' conditions. */
function treated(name: string, { add = [], ...given }: Given = {}): string[] {
  const capabilities = [...usual, ...add.map((capability) => `CAP_${capability}`)];
  return planSeccomp(defaultSeccompProfile, capabilities, { ...facts, ...given })
    .syscalls.filter(({ names }) => names.includes(name))
    .map(({ action, errnoRet, args }) =>
      [
        action.replace("SCMP_ACT_", ""),
        ...(errnoRet === undefined ? [] : [errnoRet]),
        ...args.map(({ index, op, value }) => `${index} ${op.replace("SCMP_CMP_", "")} ${value}`),
      ].join(" "),
    );
}

test("default seccomp profile, what every program does is allowed", () => {
  for (const name of ["read", "openat", "execve", "futex", "accept4", "clock_gettime", "mmap"]) {
    assert.deepEqual(treated(name), ["ALLOW"], name);
  }
});

test("default seccomp profile, no call is named twice in a rule", () => {
  for (const { names } of defaultSeccompProfile.rules) {
    assert.deepEqual(
      names.filter((name, index) => names.indexOf(name) !== index),
      [],
    );
  }
});

test("default seccomp profile, what reaches the host is allowed to nobody", () => {
  const all = capabilityNames;
  for (const name of ["keyctl", "add_key", "request_key", "kexec_load", "userfaultfd", "swapon"]) {
    assert.deepEqual(treated(name, { add: all }), [], name);
  }
  for (const name of ["io_uring_setup", "io_uring_enter"]) assert.deepEqual(treated(name), []);
});

const byCapability = {
  SYS_ADMIN: ["mount", "umount2", "unshare", "setns", "sethostname", "fsopen", "quotactl"],
  SYS_BOOT: ["reboot"],
  SYS_MODULE: ["init_module", "finit_module", "delete_module"],
  SYS_TIME: ["settimeofday", "clock_settime"],
  SYS_PACCT: ["acct"],
  SYS_RAWIO: ["iopl", "ioperm"],
  SYS_NICE: ["mbind"],
  SYS_PTRACE: ["kcmp", "pidfd_getfd"],
  SYS_TTY_CONFIG: ["vhangup"],
  SYSLOG: ["syslog"],
  BPF: ["bpf"],
  PERFMON: ["perf_event_open"],
  DAC_READ_SEARCH: ["open_by_handle_at"],
};
for (const [capability, names] of Object.entries(byCapability)) {
  test(`default seccomp profile, ${capability} opens ${names.join(", ")}`, () => {
    for (const name of names) {
      assert.deepEqual(treated(name), [], `${name} without it`);
      assert.deepEqual(treated(name, { add: [capability] }), ["ALLOW"], `${name} with it`);
    }
  });
}

test("default seccomp profile, chroot goes with the capability that is there by default", () => {
  assert.deepEqual(treated("chroot"), ["ALLOW"]);
  const without = planSeccomp(defaultSeccompProfile, [], facts);
  assert.ok(!without.syscalls.some(({ names }) => names.includes("chroot")));
});

test("default seccomp profile, clone makes no namespace, clone3 is answered with ENOSYS", () => {
  assert.deepEqual(treated("clone"), ["ALLOW 0 MASKED_EQ 2114060288"]);
  assert.deepEqual(treated("clone3"), ["ERRNO 38"]);
  assert.deepEqual(treated("clone", { architecture: "s390x" }), ["ALLOW 1 MASKED_EQ 2114060288"]);
  const admin = { add: ["SYS_ADMIN"] };
  assert.deepEqual([treated("clone", admin), treated("clone3", admin)], [["ALLOW"], ["ALLOW"]]);
});

test("default seccomp profile, sockets of all families but AF_ALG and AF_VSOCK", () => {
  assert.deepEqual(treated("socket"), ["ALLOW 0 LT 38", "ALLOW 0 EQ 39", "ALLOW 0 GT 40"]);
});

test("default seccomp profile, ptrace from Linux 4.8 on", () => {
  assert.deepEqual(treated("ptrace", { kernel: "4.7.10" }), []);
  assert.deepEqual(treated("ptrace", { kernel: "4.8.0" }), ["ALLOW"]);
  assert.deepEqual(treated("ptrace", { kernel: "10.0-rc1" }), ["ALLOW"]);
  assert.deepEqual(treated("ptrace", { kernel: "4.7.10", add: ["SYS_PTRACE"] }), ["ALLOW"]);
});

test("default seccomp profile, by architecture", () => {
  const plan = (architecture: string) =>
    planSeccomp(defaultSeccompProfile, usual, { ...facts, architecture }).architectures;
  assert.deepEqual(plan("amd64"), ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
  assert.deepEqual(plan("arm64"), ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
  // The host's own alone.
  assert.deepEqual(plan("ppc64le"), []);
  assert.deepEqual(treated("arch_prctl"), ["ALLOW"]);
  assert.deepEqual(treated("arch_prctl", { architecture: "arm64" }), []);
  assert.deepEqual(treated("cacheflush", { architecture: "arm64" }), ["ALLOW"]);
});

const seccomp = (mode: SeccompMode, text = "") =>
  create(ContainerSpecSchema, {
    privileges: { seccomp: { mode, profile: Buffer.from(text) } },
  });
const own = seccomp(
  SeccompMode.CUSTOM,
  '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]}',
);

test("seccompOf, the modes", () => {
  const plain = create(ContainerSpecSchema);
  const privileged = create(ContainerSpecSchema, { privileged: true });
  assert.equal(seccompOf(plain, usual, facts)?.defaultAction, "SCMP_ACT_ERRNO");
  assert.equal(seccompOf(privileged, usual, facts), undefined);
  assert.equal(seccompOf(seccomp(SeccompMode.UNCONFINED), usual, facts), undefined);
  const custom = seccompOf({ ...own, privileged: true }, usual, facts);
  assert.deepEqual(custom?.syscalls, [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO", args: [] }]);
});

test("seccompOf, a kernel without seccomp has no filter, and refuses a profile of one's own", () => {
  const without = { ...facts, seccomp: false };
  assert.equal(seccompOf(create(ContainerSpecSchema), usual, without), undefined);
  assert.throws(() => seccompOf(own, usual, without), { code: "failed-precondition" });
});
