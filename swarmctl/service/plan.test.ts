import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ControlService, UpdateServiceRequest } from "#proto/gen/swarm/v1/control_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { aService, aServiceSpec, aTask } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

const web = aService(aServiceSpec("web", 2n), 7n);
const tasks = [1n, 2n].map((slot) => aTask(web, { slot, state: TaskState.RUNNING }));

describe("service plan", () => {
  async function plan(...words: string[]) {
    const requests: UpdateServiceRequest[] = [];
    const control: Partial<Handlers<typeof ControlService>> = {
      getService: async () => ({ service: web }),
      listTasks: async () => ({ tasks }),
      updateService: async (request) => {
        requests.push(request);
        const changes = words.includes("--image");
        const replacedTaskIds = changes ? tasks.map(({ id }) => id) : [];
        return {
          service: { ...web, spec: request.spec ?? aServiceSpec("web", 2n) },
          replacedTaskIds,
        };
      },
    };
    await using cluster = await FakeCluster.open({ control });
    const outcome = await runCli(cluster, ["service", "plan", ...words, "web"]);
    return { ...outcome, request: requests[0] };
  }

  it("says field by field what would change, and which tasks would go, and changes nothing", async () => {
    const { code, stdout, request } = await plan("--image", "busybox:2", "--env-add", "A=1");
    assert.deepEqual(stdout.split("\n"), [
      "service web would be updated",
      '  ~ task.container.image: "registry:5000/busybox:1" -> "busybox:2"',
      '  + task.container.env[A]: "1"',
      "  2 tasks would be replaced or removed: web.1, web.2",
      "",
    ]);
    assert.equal(code, 0);
    assert.deepEqual(
      [request?.dryRun, request?.version?.index, request?.queryRegistry],
      [true, 7n, true],
    );
  });

  it("says that no task restarts", async () => {
    const { stdout } = await plan("--label-add", "a=b");
    assert.match(stdout, /\+ annotations\.labels\[a\]: "b"\n {2}no task would restart\n$/);
  });

  it("tells scripts by its exit code whether anything would change", async () => {
    const nothing = await plan("--detailed-exitcode");
    assert.deepEqual([nothing.code, nothing.stdout], [0, "service web would not change\n"]);
    assert.equal((await plan("--detailed-exitcode", "--label-add", "a=b")).code, 2);
    assert.equal((await plan("--label-add", "a=b")).code, 0);
  });

  it("prints JSON", async () => {
    const { stdout } = await plan("--format", "json", "--image", "busybox:2");
    const { fields, replacedTasks } = JSON.parse(stdout);
    assert.equal(fields[0].path, "task.container.image");
    assert.deepEqual(replacedTasks, ["web.1", "web.2"]);
  });

  it("plans a rollback", async () => {
    const { request } = await plan("--rollback");
    assert.deepEqual([request?.rollback, request?.dryRun, request?.spec], [true, true, undefined]);
    const { code, stderr } = await plan("--rollback", "--image", "x");
    assert.equal(code, 2);
    assert.match(stderr, /'--rollback' takes no '--image' beside it/);
  });
});
