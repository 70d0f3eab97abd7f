import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { conmonLogFlags } from "./conmon-log.ts";
import { attributesOf, expandTag } from "./log-tag.ts";

const value = create(ContainerSpecSchema, {
  image: "registry/web:1",
  labels: { team: "a" },
  env: ["STAGE=x=y", "EMPTY"],
});
const taskWith = (name: string, options: Record<string, string> = {}) =>
  create(TaskSchema, {
    id: "abcdefghijklmnopqrstuvwxy",
    annotations: { name: "web.1.abc" },
    spec: { runtime: { case: "container", value }, logDriver: { name, options } },
  });

test("log tag, Docker's templates: what the task is called", () => {
  const task = taskWith("local");
  assert.equal(
    expandTag("{{.Name}}/{{ .ID }}/{{.FullID}}", task),
    `web.1.abc/abcdefghijkl/${task.id}`,
  );
  assert.equal(expandTag("{{.ImageName}}-{{.constructor}}-x", task), "registry/web:1--x");
});

test("log attributes, the labels and variables that are named and there", () => {
  const wanted = { labels: ["team", "none"], env: ["STAGE", "NONE"] };
  assert.deepEqual(attributesOf(taskWith("local"), wanted), { team: "a", STAGE: "x=y" });
});

test("conmon's log flags, by driver", () => {
  assert.deepEqual(conmonLogFlags(taskWith("none")), ["--log-path", "none"]);
  const file = ["--log-path", "k8s-file:log", "--log-size-max"];
  assert.deepEqual(conmonLogFlags(taskWith("local", { "max-size": "1m", "max-file": "3" })), [
    ...file,
    `${3 * 2 ** 20}`,
  ]);
  assert.deepEqual(conmonLogFlags(taskWith("journald", { tag: "{{.Name}}" })), [
    ...file,
    `${5 * 20 * 2 ** 20}`,
    "--log-path",
    "journald:",
    "--log-tag",
    "web.1.abc",
  ]);
});
