import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ContainerSpec, ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { MountType } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseGenericResources } from "#proto/generic-resource.ts";
import { completeTask } from "./complete-task.ts";

const node = { hostname: "h1", os: "linux", architecture: "amd64" };

function taskOf(container: MessageInitShape<typeof ContainerSpecSchema>): Task {
  const value = create(ContainerSpecSchema, { image: "busybox", ...container });
  return create(TaskSchema, {
    id: "t1",
    nodeId: "n1",
    serviceId: "s1",
    slot: 3n,
    spec: { runtime: { case: "container", value } },
    serviceAnnotations: { name: "web", labels: { stage: "test" } },
  });
}

function completed(task: Task, volumes: readonly string[] = []): ContainerSpec {
  const { spec } = completeTask(task, { volumes }, node);
  assert(spec?.runtime.case === "container");
  return spec.runtime.value;
}

test("task, placeholders are filled in where Swarm has them, and nowhere else", () => {
  const { env, hostname, mounts, args } = completed(
    taskOf({
      args: ["{{.Task.ID}}"],
      env: ["PLAIN=x", "ALL={{.Task.Name}} {{.Node.Hostname}}", "{{.Task.ID}}=name"],
      hostname: "{{.Service.Name}}-{{.Task.Slot}}",
      mounts: [
        {
          type: MountType.VOLUME,
          source: "data-{{.Task.Slot}}",
          target: "/{{.Service.Labels.stage}}",
          volumeOptions: {
            labels: { of: "{{.Node.ID}}" },
            driverConfig: { options: { device: ":/{{.Task.Slot}}" } },
          },
        },
      ],
    }),
  );
  assert.deepEqual(args, ["{{.Task.ID}}"]);
  assert.deepEqual(env, ["PLAIN=x", "ALL=web.3.t1 h1", "{{.Task.ID}}=name"]);
  assert.equal(hostname, "web-3");
  const [mount] = mounts;
  assert.deepEqual([mount?.source, mount?.target], ["data-3", "/test"]);
  assert.deepEqual(mount?.volumeOptions?.labels, { of: "n1" });
  assert.deepEqual(mount?.volumeOptions?.driverConfig?.options, { device: ":/3" });
});

test("task, one without placeholders and volumes of its image stays as it is", () => {
  const task = taskOf({ env: ["A=b"], mounts: [{ type: MountType.TMPFS, target: "/t" }] });
  assert.equal(completeTask(task, {}, node), task);
});

test("task, what it was granted of generic resources is told in its environment", () => {
  const task = taskOf({ env: ["A=b", "DOCKER_RESOURCE_GPU=mine"] });
  task.assignedGenericResources = [...parseGenericResources(["gpu=UUID1,gpu=UUID2,ssd=3"])];
  assert.deepEqual(completed(task).env, [
    "A=b",
    "DOCKER_RESOURCE_GPU=mine",
    "DOCKER_RESOURCE_GPU=UUID1,UUID2",
    "DOCKER_RESOURCE_SSD=3",
  ]);
});

test("task, the slot of a global service's is its node", () => {
  const task = { ...taskOf({ hostname: "{{.Task.Slot}}" }), slot: 0n };
  assert.equal(completed(task).hostname, "n1");
});

test("task, gets a volume where its image declares one and it mounts nothing itself", () => {
  const task = taskOf({ mounts: [{ type: MountType.BIND, source: "/srv", target: "/a" }] });
  const { mounts } = completed(task, ["/a/", "/b", "/x/../b/", "relative", "/."]);
  assert.deepEqual(
    mounts.map(({ type, source, target }) => [type, source, target]),
    [
      [MountType.BIND, "/srv", "/a"],
      [MountType.VOLUME, "", "/b"],
    ],
  );
});

test("task, what cannot be filled in is named with its place", () => {
  assert.throws(() => completed(taskOf({ env: ["X={{.Service.Labels.none}}"] })), {
    message: 'Cannot fill in the template in variable X: service "web" has no label "none"',
  });
});
