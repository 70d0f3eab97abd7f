import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { StoreActionKind } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ReplicatedServiceSchema, type ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { systemClock } from "#proto/system-ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { aNode, aService, aServiceSpec, aTask, idOf, nowMs } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

const web = aService(aServiceSpec("web", 3n));
const clock = { ...systemClock, now: () => nowMs };

describe("service ls", () => {
  const control: Partial<Handlers<typeof ControlService>> = {
    listServices: async () => ({
      services: [web, aService(aServiceSpec("client"))],
      statuses: [
        { serviceId: web.id, runningTasks: 2n, desiredTasks: 3n },
        { serviceId: idOf("client"), runningTasks: 1n, desiredTasks: 1n },
      ],
    }),
  };

  it("prints Docker's columns, by name", async () => {
    await using cluster = await FakeCluster.open({ control });
    const { code, stdout } = await runCli(cluster, ["service", "ls"]);
    assert.equal(
      stdout,
      [
        "ID             NAME     MODE         REPLICAS   IMAGE                     PORTS",
        "client000000   client   replicated   1/1        registry:5000/busybox:1",
        "web000000000   web      replicated   2/3        registry:5000/busybox:1",
        "",
      ].join("\n"),
    );
    assert.equal(code, 0);
  });

  it("prints whole IDs with -q", async () => {
    await using cluster = await FakeCluster.open({ control });
    const { stdout } = await runCli(cluster, ["service", "ls", "-q"]);
    assert.equal(stdout, `${idOf("client")}\n${web.id}\n`);
  });

  it("prints Docker's fields, one object a line, with --format json", async () => {
    await using cluster = await FakeCluster.open({ control });
    const { stdout } = await runCli(cluster, ["service", "ls", "--format", "json"]);
    const [client, second] = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const docker = ["ID", "Image", "Mode", "Name", "Ports", "Replicas"];
    assert.deepEqual(
      docker.filter((field) => typeof client[field] !== "string"),
      [],
    );
    assert.equal(client.Name, "client");
    assert.equal(second.Replicas, "2/3");
  });
});

describe("service ps", () => {
  const control: Partial<Handlers<typeof ControlService>> = {
    listNodes: async () => ({ nodes: [aNode("h1"), aNode("h2")] }),
    listTasks: async () => ({
      tasks: [
        aTask(web, { slot: 2n, state: TaskState.RUNNING, node: "h2", agoMs: 3 * 60_000 }),
        aTask(web, {
          slot: 1n,
          id: "old".padEnd(25, "0"),
          state: TaskState.REJECTED,
          desired: TaskState.SHUTDOWN,
          agoMs: 7200_000,
          err: 'Cannot pull image "registry:5000/busybox:1": no such tag',
        }),
        aTask(web, {
          slot: 1n,
          state: TaskState.RUNNING,
          agoMs: 5000,
          attempt: 2,
          attempts: [{ number: 1, endedAt: timestampFromMs(nowMs - 6000), exitCode: 137 }],
        }),
      ],
    }),
  };

  it("prints each slot's history below its newest task", async () => {
    await using cluster = await FakeCluster.open({ control });
    const { stdout } = await runCli(cluster, ["service", "ps", "web"], { clock });
    assert.equal(
      stdout,
      [
        "ID             NAME        IMAGE                     NODE   DESIRED STATE   CURRENT STATE           ERROR                              PORTS",
        "webtask10000   web.1       registry:5000/busybox:1   h1     Running         Running 5 seconds ago",
        'webtask10000    \\_ web.1   registry:5000/busybox:1   h1     Shutdown        Failed 6 seconds ago    "task: non-zero exit (137)"',
        'old000000000    \\_ web.1   registry:5000/busybox:1   h1     Shutdown        Rejected 2 hours ago    "Cannot pull image "registry:5…"',
        "webtask20000   web.2       registry:5000/busybox:1   h2     Running         Running 3 minutes ago",
        "",
      ].join("\n"),
    );
  });

  it("prints errors and IDs in full with --no-trunc", async () => {
    await using cluster = await FakeCluster.open({ control });
    const { stdout } = await runCli(cluster, ["service", "ps", "--no-trunc", "web"], { clock });
    assert.match(stdout, /"Cannot pull image "registry:5000\/busybox:1": no such tag"/);
    assert.match(stdout, /^webtask100000000000000000 /m);
  });
});

describe("service create", () => {
  /** Accepts any service and tells of its tasks as they start. */
  function creating(states: readonly TaskState[]) {
    const specs: ServiceSpec[] = [];
    let service: Service = web;
    const control: Partial<Handlers<typeof ControlService>> = {
      createService: async ({ spec }) => {
        specs.push(spec ?? aServiceSpec("none"));
        service = aService(spec ?? aServiceSpec("none"));
        return { service };
      },
      async *watch(_, { signal }) {
        const object = { case: "service", value: service } as const;
        yield { events: [{ action: { kind: StoreActionKind.CREATE, object: { object } } }] };
        for (const state of states) {
          const task = { case: "task", value: aTask(service, { slot: 1n, state }) } as const;
          yield {
            events: [{ action: { kind: StoreActionKind.UPDATE, object: { object: task } } }],
          };
        }
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      },
    };
    return { specs, control };
  }

  it("turns its flags into a spec", async () => {
    const { specs, control } = creating([]);
    await using cluster = await FakeCluster.open({ control });
    const words =
      "--name web --replicas 3 --network back --network name=front,alias=www,alias=w -e A=1 -e SHELLED -l a=b " +
      "--restart-delay 0s --restart-condition on-failure --limit-memory 64m --limit-cpu 0.5 -w /srv -d " +
      "--mount type=bind,src=/a,dst=/b,ro --stop-grace-period 1s busybox:1 httpd -f -p 80";
    const argv = ["service", "create", "--entrypoint", "sh -c 'a b'", ...words.split(" ")];
    const outcome = await runCli(cluster, argv, { env: { SHELLED: "yes" } });
    assert.deepEqual(outcome, { code: 0, stdout: `${web.id}\n`, stderr: "" });
    const [spec] = specs;
    const container =
      spec?.task?.runtime.case === "container" ? spec.task.runtime.value : undefined;
    assert.deepEqual(spec?.mode.value, create(ReplicatedServiceSchema, { replicas: 3n }));
    assert.deepEqual(container?.args, ["httpd", "-f", "-p", "80"]);
    assert.deepEqual(container?.command, ["sh", "-c", "a b"]);
    assert.deepEqual(container?.env, ["A=1", "SHELLED=yes"]);
    assert.deepEqual(spec?.annotations?.labels, { a: "b" });
    assert.deepEqual(
      spec?.task?.networks.map(({ target, aliases }) => ({ target, aliases })),
      [
        { target: "back", aliases: [] },
        { target: "front", aliases: ["www", "w"] },
      ],
    );
    assert.equal(spec?.task?.resources?.limits?.memoryBytes, 67_108_864n);
    assert.equal(spec?.task?.resources?.limits?.nanoCpus, 500_000_000n);
    assert.equal(spec?.task?.restart?.delay?.seconds, 0n);
  });
});
