import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MountType } from "#proto/gen/swarm/v1/types_pb.ts";
import type { OciSpec } from "./oci-spec.ts";
import { args, type ContainerInit, mountAt, plan, type Row } from "./testing/plan-spec.ts";

const user = ({ process: { user } }: OciSpec) => [user.uid, user.gid, user.additionalGids];
const memory = ({ linux }: OciSpec) => linux.resources["memory"];
const both = { entrypoint: ["entry"], cmd: ["cmd"] };
const mount = { type: MountType.BIND, source: "/src", target: "/dst" };

const table: readonly Row[] = [
  { name: "args: the image's", given: { image: both }, seen: args, wanted: ["entry", "cmd"] },
  {
    name: "args: replace cmd",
    given: { image: both, container: { args: ["a"] } },
    seen: args,
    wanted: ["entry", "a"],
  },
  {
    name: "command: replaces both",
    given: { image: both, container: { command: ["c"] } },
    seen: args,
    wanted: ["c"],
  },
  {
    name: "command and args",
    given: { image: both, container: { command: ["c"], args: ["a"] } },
    seen: args,
    wanted: ["c", "a"],
  },
  {
    name: "hostname: first 12 of the ID",
    given: {},
    seen: (s) => s.hostname,
    wanted: "abcdefghijkl",
  },
  {
    name: "hostname: wanted",
    given: { container: { hostname: "db" } },
    seen: (s) => s.hostname,
    wanted: "db",
  },
  { name: "dir: root", given: {}, seen: (s) => s.process.cwd, wanted: "/" },
  {
    name: "dir: the image's",
    given: { image: { workingDir: "/a" } },
    seen: (s) => s.process.cwd,
    wanted: "/a",
  },
  {
    name: "dir: wanted",
    given: { image: { workingDir: "/a" }, container: { dir: "/b" } },
    seen: (s) => s.process.cwd,
    wanted: "/b",
  },
  { name: "user: root", given: {}, seen: user, wanted: [0, 0, [0]] },
  {
    name: "user: name",
    given: { container: { user: "web" } },
    seen: user,
    wanted: [33, 34, [34, 40]],
  },
  {
    name: "user: name and group",
    given: { container: { user: "web:logs" } },
    seen: user,
    wanted: [33, 40, [40]],
  },
  {
    name: "user: unknown number",
    given: { container: { user: "1000" } },
    seen: user,
    wanted: [1000, 0, [0]],
  },
  {
    name: "user: numbers",
    given: { image: { user: "1000:1001" } },
    seen: user,
    wanted: [1000, 1001, [1001]],
  },
  {
    name: "groups: added",
    given: { container: { user: "web:34", groups: ["logs", "50"] } },
    seen: user,
    wanted: [33, 34, [34, 40, 50]],
  },
  {
    name: "read_only",
    given: { container: { readOnly: true } },
    seen: (s) => s.root.readonly,
    wanted: true,
  },
  {
    name: "sysctls",
    given: {
      container: {
        sysctls: { "net.core.somaxconn": "9", "net.ipv4.ip_unprivileged_port_start": "80" },
      },
    },
    seen: (s) => s.linux.sysctl,
    wanted: {
      "net.core.somaxconn": "9",
      "net.ipv4.ip_unprivileged_port_start": "80",
      "net.ipv4.ping_group_range": "0 2147483647",
    },
  },
  {
    name: "pids_limit",
    given: { container: { pidsLimit: 9n } },
    seen: (s) => s.linux.resources["pids"],
    wanted: { limit: 9 },
  },
  {
    name: "limits: CPU",
    given: { resources: { limits: { nanoCpus: 1_500_000_000n } } },
    seen: (s) => s.linux.resources["cpu"],
    wanted: { quota: 150_000, period: 100_000 },
  },
  {
    name: "limits: memory",
    given: { resources: { limits: { memoryBytes: 100n } } },
    seen: memory,
    wanted: { limit: 100, swap: 200 },
  },
  {
    name: "limits: swap",
    given: { resources: { limits: { memoryBytes: 100n }, swapBytes: 50n } },
    seen: memory,
    wanted: { limit: 100, swap: 150 },
  },
  {
    name: "limits: swap unlimited",
    given: { resources: { limits: { memoryBytes: 100n }, swapBytes: -1n } },
    seen: memory,
    wanted: { limit: 100, swap: -1 },
  },
  {
    name: "limits: no swap accounting",
    given: { resources: { limits: { memoryBytes: 100n } }, limits: { swapLimit: false } },
    seen: memory,
    wanted: { limit: 100 },
  },
  {
    name: "limits: swappiness",
    given: { resources: { memorySwappiness: 0n } },
    seen: memory,
    wanted: { swappiness: 0 },
  },
  {
    name: "ulimits",
    given: { container: { ulimits: [{ name: "nofile", soft: 10n, hard: 20n }] } },
    seen: (s) => s.process.rlimits,
    wanted: [{ type: "RLIMIT_NOFILE", soft: 10, hard: 20 }],
  },
  {
    name: "oom_score_adj: wanted",
    given: { container: { oomScoreAdj: 5n } },
    seen: (s) => s.process.oomScoreAdj,
    wanted: 5,
  },
  {
    name: "oom_score_adj: the host's own where ours is higher",
    given: { limits: { oomScoreAdj: 7 } },
    seen: (s) => s.process.oomScoreAdj,
    wanted: undefined,
  },
  {
    name: "init: is the first process",
    given: { host: { initProgram: "/usr/bin/tini-static" } },
    seen: (s) => [args(s), mountAt("/sbin/swarm-init")(s)?.source],
    wanted: [["/sbin/swarm-init", "--", "run"], "/usr/bin/tini-static"],
  },
  {
    name: "init: asks for orphans among the host's processes",
    given: { host: { initProgram: "/usr/bin/tini-static" }, container: { pidMode: "host" } },
    seen: args,
    wanted: ["/sbin/swarm-init", "-s", "--", "run"],
  },
  {
    name: "tty",
    given: { container: { tty: true } },
    seen: ({ process }) => [process.terminal, process.env.at(-1)],
    wanted: [true, "TERM=xterm"],
  },
  {
    name: "tty: the image knows its terminal better",
    given: { container: { tty: true }, image: { env: ["TERM=linux"] } },
    seen: ({ process }) => process.env.at(-1),
    wanted: "TERM=linux",
  },
  {
    name: "reservations limit nothing",
    given: { resources: { reservations: { nanoCpus: 1_000_000_000n, memoryBytes: 1n << 30n } } },
    seen: ({ linux }) => [linux.resources["cpu"], linux.resources["memory"]],
    wanted: [undefined, undefined],
  },
  {
    name: "shm_size",
    given: { container: { shmSizeBytes: 1_048_576n } },
    seen: (s) => mountAt("/dev/shm")(s)?.options.at(-1),
    wanted: "size=1024k",
  },
  {
    name: "resolv.conf",
    given: {},
    seen: (s) => mountAt("/etc/resolv.conf")(s)?.source,
    wanted: "/t/resolv.conf",
  },
  {
    name: "mount: bind",
    given: { container: { mounts: [mount] } },
    seen: mountAt("/dst"),
    wanted: {
      destination: "/dst",
      type: "bind",
      source: "/src",
      options: ["rbind", "rprivate", "rw"],
    },
  },
  {
    name: "mount: bind, read only, not recursive",
    given: {
      container: { mounts: [{ ...mount, readOnly: true, bindOptions: { nonRecursive: true } }] },
    },
    seen: (s) => mountAt("/dst")(s)?.options,
    wanted: ["bind", "rprivate", "ro"],
  },
  {
    name: "mount: tmpfs",
    given: {
      container: {
        mounts: [
          {
            type: MountType.TMPFS,
            target: "/dst",
            tmpfsOptions: { sizeBytes: 4096n, mode: 0o700 },
          },
        ],
      },
    },
    seen: (s) => mountAt("/dst")(s)?.options,
    wanted: ["nosuid", "noexec", "nodev", "size=4096", "mode=700"],
  },
  {
    name: "mount: tmpfs, has by default the mode of the image's folder",
    given: { container: { mounts: [{ type: MountType.TMPFS, target: "/dst" }] } },
    seen: (s) => mountAt("/dst")(s)?.options,
    wanted: ["nosuid", "noexec", "nodev"],
  },
  {
    name: "mount: over /etc, the task's own files stand in it",
    given: { container: { mounts: [{ ...mount, target: "/etc" }] } },
    seen: (s) => s.mounts.slice(-4).map(({ destination }) => destination),
    wanted: ["/etc", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"],
  },
  {
    name: "read_only: the task's own files, too",
    given: { container: { readOnly: true } },
    seen: (s) => mountAt("/etc/hosts")(s)?.options,
    wanted: ["bind", "rprivate", "ro"],
  },
  {
    name: "mount: over a default",
    given: { container: { mounts: [{ ...mount, target: "/etc/hosts" }] } },
    seen: (s) => mountAt("/etc/hosts")(s)?.source,
    wanted: "/src",
  },
];

describe("planOciSpec", () => {
  for (const { name, given, seen, wanted } of table) {
    it(name, () => assert.deepEqual(seen(plan(given)), wanted));
  }

  it("env: defaults, then the image's, then the wanted; a bare name takes away", () => {
    const { env } = plan({
      image: { env: ["A=1", "B=1", "PATH=/p"] },
      container: { hostname: "h", env: ["B=2", "C=3=3", "A"] },
    }).process;
    assert.deepEqual(env, ["PATH=/p", "HOSTNAME=h", "B=2", "C=3=3"]);
  });
});

const refused: readonly (readonly [string, ContainerInit, RegExp])[] = [
  ["no command", {}, /no command specified/],
  ["relative dir", { dir: "a" }, /not an absolute path/],
  ["unknown user", { user: "nobody" }, /unable to find user "nobody"/],
  ["unknown group", { user: "0:none" }, /unable to find group "none"/],
  ["unknown ulimit", { ulimits: [{ name: "x", soft: 1n, hard: 1n }] }, /unknown ulimit "x"/],
  ["soft over hard", { ulimits: [{ name: "nofile", soft: 2n, hard: 1n }] }, /over hard 1/],
  [
    "over the host's limit",
    { ulimits: [{ name: "nofile", soft: 1n, hard: -1n }] },
    /hard limit of 1000/,
  ],
  ["oom_score_adj", { oomScoreAdj: -1n }, /below this host's own/],
  ["relative target", { mounts: [{ ...mount, target: "a" }] }, /not an absolute path/],
  ["relative source", { mounts: [{ ...mount, source: "a" }] }, /not an absolute path/],
  [
    "the root as a target",
    { mounts: [{ ...mount, target: "/a/../." }] },
    /is the container's root/,
  ],
  ["a target twice", { mounts: [mount, mount] }, /two mounts have the target/],
  [
    "a target by two names",
    { mounts: [mount, { ...mount, target: "/x/../dst/" }] },
    /two mounts have the target/,
  ],
  ["npipe", { mounts: [{ ...mount, type: MountType.NPIPE }] }, /named pipe is not supported/],
];

describe("planOciSpec, refuses", () => {
  const limited = { limits: { memoryBytes: 100n } };
  it("a limit of swap that the kernel cannot keep", () => {
    const given = { resources: { ...limited, swapBytes: 1n }, limits: { swapLimit: false } };
    assert.throws(() => plan(given), /swap_bytes has no effect here/);
  });

  it("a swappiness that the kernel does not have", () => {
    const given = { resources: { memorySwappiness: 1n }, limits: { swappiness: false } };
    assert.throws(() => plan(given), /memory_swappiness has no effect here/);
  });

  for (const [name, container, message] of refused) {
    it(name, () => {
      const given = name === "no command" ? { container, image: { cmd: [] } } : { container };
      assert.throws(() => plan(given), message);
    });
  }
});
