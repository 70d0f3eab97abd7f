import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ContainerSpecSchema, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { AppArmorMode, Isolation, SeccompMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { openTestStore } from "../testing/fixtures.ts";
import { validateServiceSpec } from "./validate-service.ts";

type ContainerInit = Exclude<MessageInitShape<typeof ContainerSpecSchema>, { $typeName: string }>;

const { store } = openTestStore();

function validate(container: ContainerInit): void {
  const value = create(ContainerSpecSchema, { ...container, image: "nginx" });
  const spec = create(ServiceSpecSchema, {
    annotations: { name: "web" },
    mode: { case: "replicated", value: { replicas: 1n } },
    task: { runtime: { case: "container", value } },
  });
  validateServiceSpec(spec, store);
}

const profile = (text: string) => Buffer.from(text);

test("service spec, whatever of its host a container may have is accepted", () => {
  validate({
    init: true,
    tty: true,
    openStdin: true,
    privileged: true,
    capabilityAdd: ["net_admin"],
    devices: [
      { pathOnHost: "/dev/fuse" },
      { pathOnHost: "/dev/dri", pathInContainer: "/dev/gpu", cgroupPermissions: "rw" },
    ],
    pidMode: "host",
    ipcMode: "host",
    usernsMode: "host",
    cgroupParent: "/machines/batch",
    sysctls: { "net.core.somaxconn": "1024" },
    privileges: { apparmor: { mode: AppArmorMode.DISABLED }, selinuxContext: { disable: true } },
  });
  validate({
    init: false,
    ipcMode: "shareable",
    shmSizeBytes: 1n << 20n,
    cgroupParent: "batch",
    sysctls: { "kernel.msgmax": "1" },
    privileges: {
      noNewPrivileges: true,
      apparmor: { profile: "my-profile" },
      selinuxContext: { type: "web_t", level: "s0:c1,c2" },
      seccomp: { mode: SeccompMode.CUSTOM, profile: profile('{"defaultAction":"SCMP_ACT_LOG"}') },
    },
  });
});

const refused: readonly (readonly [ContainerInit, string | RegExp])[] = [
  [{ capabilityAdd: ["FLY"] }, 'task.container.capability_add: unknown capability "FLY"'],
  [
    { privileged: true, capabilityDrop: ["CHOWN"] },
    "task.container.capability_drop has no effect where privileged is set: leave out one of them",
  ],
  [{ devices: [{ pathOnHost: "fuse" }] }, /devices\[0\]: path "fuse" is not an absolute path/],
  [{ devices: [{ pathOnHost: "/dev/../etc" }] }, /is not an absolute path without "\.\."/],
  [
    { devices: [{ pathOnHost: "/dev/a", cgroupPermissions: "rx" }] },
    /devices\[0\]: permissions "rx" are not some of r, w and m, each once/,
  ],
  [{ devices: [{ pathOnHost: "/dev/a", cgroupPermissions: "rr" }] }, /permissions "rr"/],
  [
    { devices: [{ pathOnHost: "/dev/a" }, { pathOnHost: "/dev/b", pathInContainer: "/dev/a" }] },
    'task.container.devices[1].path_in_container "/dev/a" is used twice',
  ],
  [{ pidMode: "container:x" }, /pid_mode: "container:x": a task's containers come and go/],
  [{ pidMode: "private" }, /pid_mode: "private" is not known: use host or leave it out/],
  [{ ipcMode: "container:x" }, /ipc_mode: "container:x": a task's containers come and go/],
  [{ ipcMode: "x" }, /ipc_mode: "x" is not known: use none, private, shareable, host/],
  [{ usernsMode: "private" }, /userns_mode: "private" is not known: users are never remapped/],
  [{ cgroupParent: "../x" }, /cgroup_parent: "\.\.\/x" is not the path of a cgroup/],
  [{ cgroupParent: "a b" }, /cgroup_parent: "a b" is not/],
  [
    { ipcMode: "host", shmSizeBytes: 1n },
    "task.container.shm_size_bytes has no effect with ipc_mode host: leave out one of them",
  ],
  [
    { sysctls: { "vm.swappiness": "1" } },
    'task.container.sysctls "vm.swappiness" does not belong to a container alone: set it on the hosts',
  ],
  [
    { ipcMode: "host", sysctls: { "kernel.shmmax": "1" } },
    /"kernel.shmmax" does not belong to a container alone with ipc_mode host/,
  ],
  [
    {
      ulimits: [
        { name: "core", soft: 0n, hard: 0n },
        { name: "core", soft: 1n, hard: 1n },
      ],
    },
    "task.container.ulimits has core twice: keep one",
  ],
  [
    { isolation: Isolation.HYPERV },
    "task.container.isolation is for containers of Windows, and hosts here run Linux: leave it out",
  ],
  [
    { privileges: { credentialSpec: { source: { case: "file", value: "x" } } } },
    /privileges\.credential_spec is for containers of Windows/,
  ],
  [
    { privileges: { seccomp: { mode: SeccompMode.CUSTOM } } },
    /privileges\.seccomp\.profile: seccomp profile: the profile is not JSON/,
  ],
  [
    { privileges: { seccomp: { profile: profile("{}") } } },
    /privileges\.seccomp\.profile is set: set mode CUSTOM, too/,
  ],
  [
    { privileges: { seccomp: { mode: 7 as number as SeccompMode } } },
    /seccomp\.mode is 7, which has no meaning/,
  ],
  [
    { privileges: { apparmor: { mode: AppArmorMode.DISABLED, profile: "x" } } },
    /apparmor\.profile is set with mode DISABLED/,
  ],
  [{ privileges: { apparmor: { profile: "a b" } } }, /apparmor\.profile "a b" is no name/],
  [
    { privileges: { selinuxContext: { disable: true, type: "x" } } },
    /selinux_context\.type is set with disable/,
  ],
  [
    { privileges: { selinuxContext: { user: "a:b" } } },
    /selinux_context\.user "a:b" is no part of a label/,
  ],
];
for (const [container, message] of refused) {
  test(`service spec, refused: ${message instanceof RegExp ? message.source : message}`, () => {
    assert.throws(() => validate(container), { code: "invalid-argument", message });
  });
}
