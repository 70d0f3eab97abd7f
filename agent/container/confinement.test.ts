import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppArmorMode, Isolation, SeccompMode } from "#proto/gen/swarm/v1/types_pb.ts";
import type { OciSpec } from "./oci-spec.ts";
import { type ContainerInit, id, mountAt, plan, type Row } from "./testing/plan-spec.ts";

const apparmor = ({ process }: OciSpec) => process.apparmorProfile;
const namespaces = ({ linux }: OciSpec) => linux.namespaces.map(({ type }) => type).join(" ");
const withApparmor = {
  security: { apparmor: true },
  host: { apparmorProfile: "swarm-default" },
} as const;
const fuse = {
  path: "/dev/fuse",
  type: "c",
  major: 10,
  minor: 229,
  mode: 0o666,
  uid: 0,
  gid: 0,
  access: "rw",
} as const;

const table: readonly Row[] = [
  {
    name: "no_new_privileges",
    given: { container: { privileges: { noNewPrivileges: true } } },
    seen: (s) => s.process.noNewPrivileges,
    wanted: true,
  },
  {
    name: "capability_drop: all",
    given: { container: { capabilityDrop: ["all"], capabilityAdd: ["cap_net_admin"] } },
    seen: (s) => s.process.capabilities["bounding"],
    wanted: ["CAP_NET_ADMIN"],
  },
  {
    name: "capability_add: all",
    given: { container: { capabilityAdd: ["ALL"] } },
    seen: (s) => s.process.capabilities["bounding"]?.length,
    wanted: 41,
  },
  {
    name: "capabilities: a user has none before his program has them",
    given: { container: { user: "1000" } },
    seen: ({ process: { capabilities } }) => [capabilities["bounding"]?.length, capabilities],
    wanted: [14, { bounding: plan({}).process.capabilities["bounding"] }],
  },
  {
    name: "capabilities: 14 by default",
    given: {},
    seen: (s) => s.process.capabilities["effective"]?.length,
    wanted: 14,
  },
  {
    name: "seccomp: Docker's default",
    given: {},
    seen: ({ linux: { seccomp } }) => [seccomp?.defaultAction, seccomp?.architectures.length],
    wanted: ["SCMP_ACT_ERRNO", 3],
  },
  {
    name: "seccomp: unconfined",
    given: { container: { privileges: { seccomp: { mode: SeccompMode.UNCONFINED } } } },
    seen: ({ linux }) => linux.seccomp,
    wanted: undefined,
  },
  {
    name: "masked and read-only paths",
    given: {},
    seen: ({ linux }) => [
      linux.maskedPaths.length,
      linux.maskedPaths.at(-1),
      linux.readonlyPaths.length,
    ],
    wanted: [13, "/sys/devices/system/cpu/cpu0/thermal_throttle", 5],
  },
  { name: "apparmor: none where the host has none", given: {}, seen: apparmor, wanted: undefined },
  {
    name: "apparmor: the default",
    given: { ...withApparmor },
    seen: apparmor,
    wanted: "swarm-default",
  },
  {
    name: "apparmor: none where the default could not be loaded",
    given: { security: { apparmor: true } },
    seen: apparmor,
    wanted: undefined,
  },
  {
    name: "apparmor: disabled",
    given: {
      ...withApparmor,
      container: { privileges: { apparmor: { mode: AppArmorMode.DISABLED } } },
    },
    seen: apparmor,
    wanted: "unconfined",
  },
  {
    name: "apparmor: one of one's own",
    given: { ...withApparmor, container: { privileges: { apparmor: { profile: "mine" } } } },
    seen: apparmor,
    wanted: "mine",
  },
  {
    name: "selinux: labels of process and mounts",
    given: {
      security: { selinux: true },
      container: { privileges: { selinuxContext: { type: "web_t", level: "s0:c1,c2" } } },
    },
    seen: ({ process, linux }) => [process.selinuxLabel, linux.mountLabel],
    wanted: ["system_u:system_r:web_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2"],
  },
  {
    name: "selinux: disabled, also where there is none",
    given: { container: { privileges: { selinuxContext: { disable: true } } } },
    seen: ({ process }) => process.selinuxLabel,
    wanted: undefined,
  },
  {
    name: "pid_mode: host",
    given: { container: { pidMode: "host" } },
    seen: namespaces,
    wanted: "mount ipc uts network",
  },
  {
    name: "ipc_mode: host shares its namespace and its files",
    given: { container: { ipcMode: "host" } },
    seen: (s) => [namespaces(s), mountAt("/dev/shm")(s)?.type, mountAt("/dev/mqueue")(s)?.type],
    wanted: ["pid mount uts network", "bind", "mqueue"],
  },
  {
    name: "ipc_mode: none has no /dev/shm",
    given: { container: { ipcMode: "none" } },
    seen: (s) => [namespaces(s), mountAt("/dev/shm")(s)],
    wanted: ["pid mount ipc uts network", undefined],
  },
  ...["private", "shareable"].map((ipcMode) => ({
    name: `ipc_mode: ${ipcMode}`,
    given: { container: { ipcMode } },
    seen: namespaces,
    wanted: "pid mount ipc uts network",
  })),
  {
    name: "userns_mode: host is what there is anyway",
    given: { container: { usernsMode: "host" } },
    seen: namespaces,
    wanted: "pid mount ipc uts network",
  },
  {
    name: "cgroup_parent: below the folder of all containers",
    given: { container: { cgroupParent: "batch/night" } },
    seen: ({ linux }) => linux.cgroupsPath,
    wanted: `/swarm/batch/night/${id}`,
  },
  {
    name: "cgroup_parent: below the root",
    given: { container: { cgroupParent: "/batch/" } },
    seen: ({ linux }) => linux.cgroupsPath,
    wanted: `/batch/${id}`,
  },
  {
    name: "devices: made, and allowed",
    given: { host: { devices: [fuse] } },
    seen: ({ linux }) => [linux.devices, linux.resources["devices"]],
    wanted: [
      [{ path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o666, uid: 0, gid: 0 }],
      [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 10, minor: 229, access: "rw" },
      ],
    ],
  },
  {
    name: "privileged: every capability of swarmd's, no filter, nothing hidden, all devices",
    given: { container: { privileged: true }, limits: { capabilities: ["CHOWN", "SYS_ADMIN"] } },
    seen: (s) => [
      s.process.capabilities["bounding"],
      s.linux.seccomp,
      s.linux.maskedPaths,
      s.linux.readonlyPaths,
      s.linux.resources["devices"],
      mountAt("/sys")(s)?.options.at(-1),
    ],
    wanted: [
      ["CAP_CHOWN", "CAP_SYS_ADMIN"],
      undefined,
      [],
      [],
      [{ allow: true, access: "rwm" }],
      "rw",
    ],
  },
  {
    name: "privileged: unconfined where there is AppArmor",
    given: { ...withApparmor, container: { privileged: true } },
    seen: apparmor,
    wanted: "unconfined",
  },
  {
    name: "privileged: cgroups can be written on v2",
    given: { host: { cgroupVersion: 2 }, container: { privileged: true } },
    seen: (s) => mountAt("/sys/fs/cgroup")(s)?.options.at(-1),
    wanted: "rw",
  },
  {
    name: "capabilities: those that swarmd has not are left out of the defaults",
    given: { limits: { capabilities: ["CHOWN", "SYS_ADMIN"] } },
    seen: (s) => s.process.capabilities["bounding"],
    wanted: ["CAP_CHOWN"],
  },
  { name: "cgroup path", given: {}, seen: (s) => s.linux.cgroupsPath, wanted: `/swarm/${id}` },
  {
    name: "network namespace",
    given: {},
    seen: (s) => s.linux.namespaces.find(({ type }) => type === "network")?.path,
    wanted: "/run/netns/x",
  },
  {
    name: "the host's network: no namespace, and none of its sysctls is changed",
    given: { onHostNetwork: true },
    seen: (s) => [namespaces(s), s.linux.sysctl],
    wanted: ["pid mount ipc uts", {}],
  },
  {
    name: "cgroup mount: none on v1",
    given: {},
    seen: mountAt("/sys/fs/cgroup"),
    wanted: undefined,
  },
  {
    name: "cgroup namespace on v2",
    given: { host: { cgroupVersion: 2 } },
    seen: (s) => s.linux.namespaces.some(({ type }) => type === "cgroup"),
    wanted: true,
  },
];

describe("planOciSpec, what a container is kept from", () => {
  for (const { name, given, seen, wanted } of table) {
    it(name, () => assert.deepEqual(seen(plan(given)), wanted));
  }
});

const refused: readonly (readonly [string, ContainerInit, RegExp])[] = [
  ["unknown capability", { capabilityAdd: ["FLY"] }, /unknown capability "FLY"/],
  ["isolation", { isolation: Isolation.PROCESS }, /an isolation \(Windows\) is not supported/],
  [
    "credential spec",
    { privileges: { credentialSpec: { source: { case: "file", value: "x" } } } },
    /a credential spec \(Windows\) is not supported/,
  ],
  [
    "a seccomp profile that is none",
    { privileges: { seccomp: { mode: SeccompMode.CUSTOM } } },
    /seccomp profile: the profile is not JSON/,
  ],
  [
    "an SELinux context without SELinux",
    { privileges: { selinuxContext: { type: "x" } } },
    /this host has no SELinux/,
  ],
  [
    "an AppArmor profile without AppArmor",
    { privileges: { apparmor: { profile: "x" } } },
    /"x" cannot be applied: this host has no AppArmor/,
  ],
  ["pid_mode of another container", { pidMode: "container:x" }, /none can be joined/],
  ["pid_mode", { pidMode: "x" }, /use host or leave it out/],
  ["ipc_mode", { ipcMode: "x" }, /use none, private, shareable, host/],
  ["userns_mode", { usernsMode: "x" }, /users are never remapped/],
  ["cgroup_parent", { cgroupParent: "../x" }, /is not the path of a cgroup/],
];

describe("planOciSpec, what a container is kept from, refuses", () => {
  it("a capability that swarmd has not", () => {
    const given = {
      container: { capabilityAdd: ["SYS_TIME"] },
      limits: { capabilities: ["KILL"] },
    };
    assert.throws(() => plan(given), /SYS_TIME: swarmd on this host does not have it itself/);
  });

  for (const [name, container, message] of refused) {
    it(name, () => assert.throws(() => plan({ container }), message));
  }
});
