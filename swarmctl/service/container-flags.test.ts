import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { create, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { ContainerSpecSchema, type ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { ResourceRequirementsSchema, RestartCondition } from "#proto/gen/swarm/v1/types_pb.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { aService, aServiceSpec } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

type ContainerInit = MessageInitShape<typeof ContainerSpecSchema>;

/** What `service create` sends. */
async function created(...flags: readonly string[]): Promise<ServiceSpec> {
  const sent: ServiceSpec[] = [];
  await using cluster = await FakeCluster.open({
    control: {
      createService: async ({ spec = aServiceSpec("none") }) => {
        sent.push(spec);
        return { service: aService(spec) };
      },
    },
  });
  const argv = ["service", "create", "--name", "web", "--detach", ...flags, "busybox:1", "httpd"];
  const { stderr, code } = await runCli(cluster, argv);
  const [spec] = sent;
  assert.deepEqual({ stderr, code }, { stderr: "", code: 0 });
  assert.ok(spec !== undefined);
  return spec;
}

/** What `service update` sends of a service that was like this. */
async function updated(before: ContainerInit, ...flags: readonly string[]): Promise<ServiceSpec> {
  const plain = aServiceSpec("web");
  const value = create(ContainerSpecSchema, before);
  const task = plain.task && { ...plain.task, runtime: { case: "container" as const, value } };
  const service = aService({ ...plain, ...(task && { task }) });
  const sent: ServiceSpec[] = [];
  await using cluster = await FakeCluster.open({
    control: {
      getService: async () => ({ service }),
      updateService: async ({ spec = plain }) => {
        sent.push(spec);
        return { service: aService(spec) };
      },
    },
  });
  const argv = ["service", "update", "--detach", ...flags, "web"];
  const { stderr, code } = await runCli(cluster, argv);
  const [spec] = sent;
  assert.deepEqual({ stderr, code }, { stderr: "", code: 0 });
  assert.ok(spec !== undefined);
  return spec;
}

function containerOf({ task }: ServiceSpec) {
  assert.ok(task?.runtime.case === "container");
  return toJson(ContainerSpecSchema, task.runtime.value) as Readonly<Record<string, unknown>>;
}

describe("service create", () => {
  it("says in a spec all that a container may have", async () => {
    const words =
      "--init -t -i --read-only --user web:www --group logs --hostname h --add-host db:10.0.0.9 --add-host six=[::1] " +
      "--dns 10.0.0.1 --dns-search a.b --dns-option ndots:2 --sysctl net.core.somaxconn=9 --ulimit nofile=1:2 " +
      "--ulimit core=-1 --device /dev/fuse --device /dev/dri:/dev/gpu:rw --device /dev/kvm:r --cap-add SYS_TIME " +
      "--cap-drop ALL --privileged --shm-size 1m --pid host --ipc shareable --userns host --cgroup-parent /a " +
      "--limit-pids 5 --oom-score-adj -5 --stop-signal QUIT --security-opt no-new-privileges " +
      "--security-opt apparmor=unconfined --security-opt label=type:web_t --security-opt label:level:s0:c1";
    assert.deepEqual(containerOf(await created(...words.split(" "))), {
      image: "busybox:1",
      args: ["httpd"],
      init: true,
      tty: true,
      openStdin: true,
      readOnly: true,
      user: "web:www",
      groups: ["logs"],
      hostname: "h",
      hosts: ["10.0.0.9 db", "::1 six"],
      dnsConfig: { nameservers: ["10.0.0.1"], search: ["a.b"], options: ["ndots:2"] },
      sysctls: { "net.core.somaxconn": "9" },
      ulimits: [
        { name: "nofile", soft: "1", hard: "2" },
        { name: "core", soft: "-1", hard: "-1" },
      ],
      devices: [
        { pathOnHost: "/dev/fuse" },
        { pathOnHost: "/dev/dri", pathInContainer: "/dev/gpu", cgroupPermissions: "rw" },
        { pathOnHost: "/dev/kvm", cgroupPermissions: "r" },
      ],
      capabilityAdd: ["SYS_TIME"],
      capabilityDrop: ["ALL"],
      privileged: true,
      shmSizeBytes: "1048576",
      pidMode: "host",
      ipcMode: "shareable",
      usernsMode: "host",
      cgroupParent: "/a",
      pidsLimit: "5",
      oomScoreAdj: "-5",
      stopSignal: "QUIT",
      privileges: {
        noNewPrivileges: true,
        apparmor: { mode: "APP_ARMOR_MODE_DISABLED" },
        selinuxContext: { type: "web_t", level: "s0:c1" },
      },
    });
  });

  it("says nothing of what no flag speaks of", async () => {
    assert.deepEqual(containerOf(await created()), { image: "busybox:1", args: ["httpd"] });
  });

  it("limits swap beside memory", async () => {
    const flags = ["--limit-memory=64m", "--memory-swap=-1", "--memory-swappiness=0"];
    const { task } = await created(...flags);
    assert.ok(task?.resources !== undefined);
    assert.deepEqual(toJson(ResourceRequirementsSchema, task.resources), {
      limits: { memoryBytes: "67108864" },
      swapBytes: "-1",
      memorySwappiness: "0",
    });
  });

  it("takes a seccomp profile from a file", async () => {
    const folder = await mkdtemp(join(tmpdir(), "swarmctl-"));
    const file = join(folder, "profile.json");
    try {
      await writeFile(file, '{"defaultAction":"SCMP_ACT_LOG"}\n');
      const { privileges } = containerOf(await created(`--security-opt=seccomp=${file}`));
      const profile = Buffer.from('{"defaultAction":"SCMP_ACT_LOG"}').toString("base64");
      assert.deepEqual(privileges, { seccomp: { mode: "SECCOMP_MODE_CUSTOM", profile } });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  const refused = [
    ["--device=fuse", /path "fuse" is not an absolute path/],
    ["--device=/a:/b:rwx", /permissions "rwx"/],
    ["--ulimit=nofile", /is not NAME=SOFT/],
    ["--ulimit=nofile=2:1", /soft 2 is over hard 1/],
    ["--add-host=db", /is not NAME:IP/],
    ["--isolation=hyperv", /is for containers of Windows/],
    ["--credential-spec=file://x", /is for containers of Windows/],
    ["--security-opt=seccomp=/no/such", /Cannot read the seccomp profile "\/no\/such"/],
    ["--security-opt=systempaths=unconfined", /is not known: write seccomp=/],
    ["--memory-swap=1m", /goes with --limit-memory/],
  ] as const;
  for (const [argument, message] of refused) {
    it(`refuses ${argument}`, async () => {
      await using cluster = await FakeCluster.open({ control: {} });
      const argv = ["service", "create", "--name", "web", argument, "busybox:1"];
      const { stderr, code } = await runCli(cluster, argv);
      assert.notEqual(code, 0);
      assert.match(stderr, message);
    });
  }
});

describe("service update", () => {
  it("leaves what no flag speaks of", async () => {
    const before = {
      image: "a",
      tty: true,
      hosts: ["1.1.1.1 a"],
      sysctls: { a: "1" },
      env: ["A=1"],
    };
    assert.deepEqual(containerOf(await updated(before, "--read-only")), {
      ...before,
      readOnly: true,
    });
  });

  it("changes nothing of a task for flags that are not of it", async () => {
    const full = {
      image: "a",
      capabilityAdd: ["cap_kill"],
      dnsConfig: { search: ["a"] },
      labels: { a: "b" },
      privileges: { noNewPrivileges: true },
    };
    const { task, mode } = await updated(full, "--replicas=5", "--label-add=a=b");
    assert.equal(mode.case === "replicated" && mode.value.replicas, 5n);
    const value = create(ContainerSpecSchema, full);
    const plain = aServiceSpec("web").task;
    assert.deepEqual(task, plain && { ...plain, runtime: { case: "container", value } });
  });

  it("adds to lists and takes from them", async () => {
    const before = {
      image: "a",
      env: ["A=1", "B=1"],
      groups: ["x", "y"],
      hosts: ["1.1.1.1 a", "1.1.1.2 b", "1.1.1.3 c"],
      sysctls: { a: "1", b: "1" },
      ulimits: [{ name: "core", soft: 1n, hard: 1n }],
      devices: [{ pathOnHost: "/dev/a", pathInContainer: "/dev/b" }],
      labels: { l: "1" },
      dnsConfig: { nameservers: ["1.1.1.1"], search: ["s"] },
    };
    const words =
      "--env-add B=2 --env-add C=3 --env-rm A --group-add z --group-rm x --host-add d:1.1.1.4 --host-rm a " +
      "--host-rm b:1.1.1.2 --sysctl-add b=2 --sysctl-rm a --ulimit-add core=2 --device-rm /dev/b " +
      "--device-add /dev/c --container-label-rm l --dns-rm 1.1.1.1 --dns-search-add t";
    assert.deepEqual(containerOf(await updated(before, ...words.split(" "))), {
      image: "a",
      env: ["B=2", "C=3"],
      groups: ["y", "z"],
      hosts: ["1.1.1.3 c", "1.1.1.4 d"],
      sysctls: { b: "2" },
      ulimits: [{ name: "core", soft: "2", hard: "2" }],
      devices: [{ pathOnHost: "/dev/c" }],
      dnsConfig: { search: ["s", "t"] },
    });
  });

  it("gives back a capability by undoing what took it", async () => {
    const before = { image: "a", capabilityAdd: ["SYS_TIME"], capabilityDrop: ["CAP_CHOWN"] };
    const flags = ["--cap-add=chown", "--cap-drop=SYS_TIME", "--cap-drop=KILL"];
    const { capabilityAdd, capabilityDrop } = containerOf(await updated(before, ...flags));
    assert.deepEqual([capabilityAdd, capabilityDrop], [undefined, ["KILL"]]);
  });

  it("turns off what was on", async () => {
    const before = { image: "a", tty: true, init: true, privileged: true, readOnly: true };
    const flags = ["--no-tty", "--no-init", "--no-privileged", "--no-read-only"];
    assert.deepEqual(containerOf(await updated(before, ...flags)), { image: "a", init: false });
  });

  it("changes one option of security and keeps the others", async () => {
    const before = {
      image: "a",
      privileges: { noNewPrivileges: true, seccomp: { mode: 1 as const } },
    };
    const { privileges } = containerOf(await updated(before, "--security-opt=seccomp=default"));
    assert.deepEqual(privileges, { noNewPrivileges: true, seccomp: {} });
  });

  it("changes limits, labels and when to start again", async () => {
    const flags = ["--limit-cpu=0.5", "--label-add=a=b", "--restart-max-attempts=3"];
    const { task, annotations } = await updated({ image: "a" }, ...flags);
    assert.equal(task?.resources?.limits?.nanoCpus, 500_000_000n);
    assert.deepEqual(annotations?.labels, { a: "b" });
    assert.deepEqual(
      [task?.restart?.condition, task?.restart?.maxAttempts],
      [RestartCondition.ANY, 3n],
    );
  });
});
