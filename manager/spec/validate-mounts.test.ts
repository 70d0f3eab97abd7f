import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { MountPropagation, MountSchema, MountType } from "#proto/gen/swarm/v1/types_pb.ts";
import { checkMounts } from "./validate-mounts.ts";

type Init = MessageInitShape<typeof MountSchema>;

const target = "/data";
const bind = (init: Init = {}) => ({ type: MountType.BIND, source: "/srv", target, ...init });
const volume = (init: Init = {}) => ({ type: MountType.VOLUME, source: "data", target, ...init });
const tmpfs = (init: Init = {}) => ({ type: MountType.TMPFS, target, ...init });
const local = (options: Record<string, string>) =>
  volume({ volumeOptions: { driverConfig: { name: "local", options } } });

function check(...inits: readonly Init[]): void {
  checkMounts(
    "mounts",
    inits.map((init) => create(MountSchema, init)),
  );
}

const accepted: readonly (readonly [string, Init])[] = [
  ["a bind with everything", bind({ consistency: "cached", bindOptions: { propagation: 5 } })],
  ["a forced form", bind({ readOnly: true, bindOptions: { readOnlyForceRecursive: true } })],
  ["a volume with a subpath", volume({ volumeOptions: { subpath: "a/./b", noCopy: true } })],
  ["a volume without a name", volume({ source: "" })],
  ["a volume named by a template", volume({ source: "data-{{.Task.Slot}}" })],
  ["a target by a template", volume({ target: "{{.Service.Labels.folder}}" })],
  ["an nfs volume", local({ type: "nfs", o: "addr=192.0.2.1,rw", device: ":/export" })],
  ["a tmpfs volume", local({ type: "tmpfs", device: "tmpfs" })],
  [
    "a tmpfs that executes",
    tmpfs({ tmpfsOptions: { options: "exec,uid=7,size=50%", mode: 0o700 } }),
  ],
];
for (const [what, init] of accepted) test(`mounts, ${what} is accepted`, () => check(init));

const propagation = MountPropagation.SHARED;
const refused: readonly (readonly [string, Init, RegExp])[] = [
  ["a consistency", bind({ consistency: "eventual" }), /"eventual" is none of default, consistent/],
  ["a propagation", bind({ bindOptions: { propagation: 9 as never } }), /propagation is 9, which/],
  ["a form of reading", bind({ bindOptions: { readOnlyNonRecursive: true } }), /without read_only/],
  [
    "a forced form that leaks",
    bind({ readOnly: true, bindOptions: { readOnlyForceRecursive: true, propagation } }),
    /read_only_force_recursive needs RPRIVATE propagation/,
  ],
  ["a bind's volume options", bind({ volumeOptions: {} }), /volume_options is set for a bind/],
  ["a volume's bind options", volume({ bindOptions: {} }), /bind_options is set for a volume/],
  ["a volume that is a path", volume({ source: "/srv" }), /not a name for a volume.* bind mount$/],
  ["a volume of one letter", volume({ source: "a" }), /source: "a" is not a name for a volume/],
  [
    "another driver",
    volume({ volumeOptions: { driverConfig: { name: "ceph" } } }),
    /"ceph" is not/,
  ],
  ["an option", local({ typo: "nfs" }), /"typo" is not an option of the volume driver "local"/],
  ["half of the options", local({ type: "nfs" }), /needs the option "device", too/],
  ["a way out", volume({ volumeOptions: { subpath: "a/../../b" } }), /leave out a leading/],
  ["an absolute subpath", volume({ volumeOptions: { subpath: "/etc" } }), /leave out a leading/],
  [
    "a subpath of nothing",
    volume({ source: "", volumeOptions: { subpath: "a" } }),
    /without a name/,
  ],
  [
    "a tmpfs option",
    tmpfs({ tmpfsOptions: { options: "exec,lowerdir=x" } }),
    /"lowerdir=x" is not/,
  ],
  ["the root by another name", volume({ target: "/a/.." }), /is the root of the container/],
  ["a named pipe", { ...bind(), type: MountType.NPIPE }, /NPIPE is for Windows: use BIND/],
  [
    "a cluster volume",
    { ...volume(), type: MountType.CLUSTER },
    /CLUSTER \(CSI\) is not supported/,
  ],
];
for (const [what, init, message] of refused) {
  test(`mounts, ${what} that cannot be is refused`, () => {
    assert.throws(() => check(init), { message });
  });
}
