import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  UpdateConfigSchema,
  UpdateFailureAction,
  UpdateOrder,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { runCli } from "../testing/run-cli.ts";

const given =
  "--update-parallelism 2 --update-delay 10s --update-order start-first --update-monitor 30s " +
  "--update-failure-action rollback --update-max-failure-ratio 0.2 --update-progress-deadline 0s " +
  "--rollback-parallelism 0 --rollback-failure-action continue";

it("says how a service is updated and rolled back, in its creation and changed by updates", async () => {
  const control = new FakeControl();
  await using cluster = await FakeCluster.open({ control: control.handlers });
  const words = (text: string) => text.split(" ");
  await runCli(cluster, words(`service create -d --name web ${given} busybox`));
  const spec = () => [...control.services.values()][0]?.spec;
  const update = create(UpdateConfigSchema, {
    parallelism: 2n,
    delay: durationFromMs(10_000),
    order: UpdateOrder.START_FIRST,
    monitor: durationFromMs(30_000),
    failureAction: UpdateFailureAction.ROLLBACK,
    maxFailureRatio: Math.fround(0.2),
    progressDeadline: durationFromMs(0),
  });
  assert.deepEqual(spec()?.update, update);
  const rollback = create(UpdateConfigSchema, { failureAction: UpdateFailureAction.CONTINUE });
  assert.deepEqual(spec()?.rollback, rollback);
  await runCli(
    cluster,
    words("service update -d --update-delay 1s --rollback-order start-first web"),
  );
  assert.deepEqual(spec()?.update, { ...update, delay: durationFromMs(1_000) });
  assert.deepEqual(spec()?.rollback, { ...rollback, order: UpdateOrder.START_FIRST });
  const { stdout } = await runCli(cluster, words("service inspect --pretty web"));
  assert.match(
    stdout,
    /^UpdateConfig\n {2}Parallelism: +2\n {2}Delay: +1s\n {2}On failure: +rollback$/m,
  );
  assert.match(stdout, /^ {2}Max failure ratio: +0\.2\n {2}Update order: +start-first$/m);
  assert.match(stdout, /^RollbackConfig\n {2}Parallelism: +0\n {2}On failure: +continue$/m);
});

it("leaves out what nobody said, and refuses what has no meaning", async () => {
  const control = new FakeControl();
  await using cluster = await FakeCluster.open({ control: control.handlers });
  await runCli(cluster, ["service", "create", "-d", "--name", "web", "busybox"]);
  assert.equal([...control.services.values()][0]?.spec?.update, undefined);
  await runCli(cluster, ["service", "update", "-d", "--update-delay", "1s", "web"]);
  assert.equal([...control.services.values()][0]?.spec?.update?.parallelism, 1n);
  for (const [name, value] of [
    ["--update-max-failure-ratio", "1.1"],
    ["--update-max-failure-ratio", "-0.1"],
    ["--update-order", "both"],
    ["--rollback-failure-action", "rollback"],
    ["--update-delay", "-1s"],
  ] as const) {
    const { code } = await runCli(cluster, ["service", "update", "-d", `${name}=${value}`, "web"]);
    assert.notEqual(code, 0, `${name}=${value}`);
  }
});
