import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { ContainerSpecSchema, type TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { ResourceRequirementsSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseDevice, parseExtraHost, parseUlimit, withSecurityOpt } from "../host-access-words.ts";
import { stackFrom } from "../testing/stack-from.ts";

/** The task of a service that is described by these lines. */
function taskOf(...lines: readonly string[]): TaskSpec {
  const text = ["services:", "  x:", "    image: a", ...lines.map((line) => `    ${line}`)];
  const { services } = stackFrom({ name: "shop", file: "shop.yml", text: text.join("\n") });
  const task = services[0]?.task;
  assert.ok(task !== undefined);
  return task;
}

function containerOf(...lines: readonly string[]) {
  const { runtime } = taskOf(...lines);
  assert.ok(runtime.case === "container");
  const { image, labels, ...rest } = toJson(ContainerSpecSchema, runtime.value) as Readonly<
    Record<string, unknown>
  >;
  assert.deepEqual([image, typeof labels], ["a", "object"]);
  return rest;
}

describe("a service's containers in a stack file", () => {
  it("have what Docker's keys say", () => {
    const seen = containerOf(
      "cap_add: [NET_ADMIN]",
      "cap_drop: [ALL]",
      "cgroup_parent: batch",
      "devices: ['/dev/fuse', '/dev/dri:/dev/gpu:rw']",
      "dns: 10.0.0.1",
      "dns_search: [a, b]",
      "dns_opt: ['ndots:2']",
      "extra_hosts: ['db:10.0.0.2', 'six:::1']",
      "group_add: [50, logs]",
      "init: true",
      "ipc: host",
      "oom_score_adj: -5",
      "pid: host",
      "privileged: true",
      "read_only: true",
      "security_opt: ['no-new-privileges:true', 'seccomp:unconfined']",
      "stdin_open: true",
      "stop_grace_period: 1m30s",
      "stop_signal: SIGQUIT",
      "sysctls: {net.core.somaxconn: 1024}",
      "tty: true",
      "ulimits: {nproc: 5, nofile: {soft: 1, hard: 2}}",
      "user: 1000",
      "userns_mode: host",
      "working_dir: /srv",
    );
    assert.deepEqual(seen, {
      capabilityAdd: ["NET_ADMIN"],
      capabilityDrop: ["ALL"],
      cgroupParent: "batch",
      devices: [
        { pathOnHost: "/dev/fuse" },
        { pathOnHost: "/dev/dri", pathInContainer: "/dev/gpu", cgroupPermissions: "rw" },
      ],
      dnsConfig: { nameservers: ["10.0.0.1"], search: ["a", "b"], options: ["ndots:2"] },
      hosts: ["10.0.0.2 db", "::1 six"],
      groups: ["50", "logs"],
      init: true,
      ipcMode: "host",
      oomScoreAdj: "-5",
      pidMode: "host",
      privileged: true,
      readOnly: true,
      privileges: { noNewPrivileges: true, seccomp: { mode: "SECCOMP_MODE_UNCONFINED" } },
      openStdin: true,
      stopGracePeriod: "90s",
      stopSignal: "SIGQUIT",
      sysctls: { "net.core.somaxconn": "1024" },
      tty: true,
      ulimits: [
        { name: "nofile", soft: "1", hard: "2" },
        { name: "nproc", soft: "5", hard: "5" },
      ],
      user: "1000",
      usernsMode: "host",
      dir: "/srv",
    });
  });

  it("have nothing that their keys do not say", () => {
    assert.deepEqual(containerOf(), {});
    assert.equal(taskOf().resources, undefined);
  });

  it("have hosts from a map, sysctls from a list, and a size of /dev/shm", () => {
    const seen = containerOf("extra_hosts: {db: 10.0.0.2}", "sysctls: ['a.b=1']", "shm_size: 1gb");
    assert.deepEqual(seen, {
      hosts: ["10.0.0.2 db"],
      sysctls: { "a.b": "1" },
      shmSizeBytes: "1073741824",
    });
  });

  it("have limits and reservations", () => {
    const { resources, runtime } = taskOf(
      "deploy:",
      "  resources:",
      "    limits: {cpus: 0.5, memory: 64m, pids: 9}",
      "    reservations: {cpus: '0.25', memory: 1048576}",
    );
    assert.ok(resources !== undefined && runtime.case === "container");
    assert.deepEqual(toJson(ResourceRequirementsSchema, resources), {
      limits: { nanoCpus: "500000000", memoryBytes: "67108864" },
      reservations: { nanoCpus: "250000000", memoryBytes: "1048576" },
    });
    assert.equal(runtime.value.pidsLimit, 9n);
  });
});

const refused = [
  ["cap_add: [FLY]", /shop\.yml:4.*services\.x\.cap_add\.0 is refused: unknown capability "FLY"/],
  ["devices: [fuse]", /services\.x\.devices\.0 is refused: path "fuse" is not an absolute path/],
  ["ipc: x", /services\.x\.ipc is refused: "x" is not known/],
  ["pid: 'container:y'", /services\.x\.pid is refused: .*none can be joined/],
  ["shm_size: much", /services\.x\.shm_size is refused: invalid size "much"/],
  ["stop_signal: HALT", /services\.x\.stop_signal is refused: unknown stop signal "HALT"/],
  ["security_opt: ['seccomp:file.json']", /security_opt\.0 is refused: seccomp=file\.json is none/],
  ["ulimits: {files: 1}", /services\.x\.ulimits\.files is refused: unknown ulimit "files"/],
  [
    "ulimits: {nofile: {soft: 2, hard: 1}}",
    /ulimits\.nofile is refused: ulimit nofile: soft 2 is over/,
  ],
  ["privileged: maybe", /services\.x\.privileged must be true or false/],
  ["isolation: hyperv", /services\.x\.isolation is "hyperv": Linux has none but default/],
  [
    "deploy: {resources: {limits: {cpus: many}}}",
    /limits\.cpus is refused: invalid number of CPUs/,
  ],
] as const;
for (const [line, message] of refused) {
  it(`a stack file is refused with ${line}`, () => {
    assert.throws(() => taskOf(line), { name: "Fault", message });
  });
}

it("words of a container and its host, any text is read or refused with a Fault", () => {
  const parts =
    "/dev/a : = rwm nofile 10 -1 seccomp apparmor label type { } no-new-privileges ::1 x";
  const words = fc.array(fc.constantFrom(...parts.split(" "))).map((list) => list.join(""));
  const parsers = [
    parseDevice,
    parseExtraHost,
    parseUlimit,
    (text: string) => withSecurityOpt(undefined, text),
  ];
  fc.assert(
    fc.property(fc.oneof(words, fc.string()), (text) => {
      for (const parse of parsers) {
        try {
          parse(text);
        } catch (thrown) {
          assert.ok(thrown instanceof Fault, String(thrown));
        }
      }
    }),
  );
});
