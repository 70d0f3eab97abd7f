import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ServiceSchema, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { nouns } from "./objects.ts";
import { Table } from "./table.ts";

const service = (id: string, name: string) =>
  create(ServiceSchema, { id, spec: { annotations: { name } } });
const task = (id: string, serviceId: string, nodeId: string) =>
  create(TaskSchema, { id, serviceId, nodeId });

test("table, an object is found by ID and by name", () => {
  const table = new Table(nouns.service);
  table.put(service("1", "web"));
  assert.equal(table.get("1")?.id, "1");
  assert.equal(table.byName("web")?.id, "1");
  assert.equal(table.byName("db"), undefined);
});

test("table, a renamed object is not found by its old name", () => {
  const table = new Table(nouns.service);
  table.put(service("1", "web"));
  table.put(service("1", "shop"));
  assert.equal(table.byName("web"), undefined);
  assert.equal(table.byName("shop")?.id, "1");
});

test("table, an index follows what changes and forgets what is removed", () => {
  const table = new Table(nouns.task);
  table.put(task("1", "web", ""));
  table.put(task("2", "web", "h1"));
  assert.deepEqual(
    table.by("service", "web").map(({ id }) => id),
    ["1", "2"],
  );
  table.put(task("1", "web", "h1"));
  assert.equal(table.by("node", "").length, 0);
  assert.equal(table.by("node", "h1").length, 2);
  table.remove("1");
  table.remove("1");
  assert.deepEqual(
    table.by("node", "h1").map(({ id }) => id),
    ["2"],
  );
});

test("table, an update keeps the order of creation", () => {
  const table = new Table(nouns.service);
  for (const id of ["1", "2", "3"]) table.put(service(id, id));
  table.put(service("1", "changed"));
  assert.deepEqual(
    table.list().map(({ id }) => id),
    ["1", "2", "3"],
  );
});
