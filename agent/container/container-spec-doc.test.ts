/** docs/container-spec.md says of each field of the contract what becomes of it, and which test looks. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { DescMessage } from "@bufbuild/protobuf";
import { ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { ResourceRequirementsSchema } from "#proto/gen/swarm/v1/types_pb.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");

interface Row {
  readonly field: string;
  readonly file: string;
  readonly name: string;
}

/** The rows of the tables: | `field` | what becomes of it | `file`: name of a test |. */
function rowsOf(text: string): Row[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => {
      const cells = line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, ""));
      assert.equal(cells.length, 3, line);
      const [field = "", , where = ""] = cells;
      const [, file = "", name = ""] = /^`([^`]+)`: (.+)$/.exec(where) ?? [];
      return { field: field.replaceAll("`", ""), file, name };
    });
}

/** The fields that hold values, by their paths; messages of Google's are values. */
function fieldsOf(schema: DescMessage, path = ""): string[] {
  return schema.fields.flatMap((field) => {
    const here = `${path}${field.name}`;
    const { message } = field;
    if (message === undefined || message.typeName.startsWith("google.protobuf.")) return [here];
    return fieldsOf(message, `${here}.`);
  });
}

const rows = rowsOf(read("docs/container-spec.md"));

test("docs/container-spec.md, each field of the contract has one row, and each row a field", () => {
  const fields = [
    ...fieldsOf(ContainerSpecSchema),
    ...fieldsOf(ResourceRequirementsSchema, "resources."),
  ];
  const covers = (row: string, field: string) => field === row || field.startsWith(`${row}.`);
  const counts = fields.map((field) => [
    field,
    rows.filter((row) => covers(row.field, field)).length,
  ]);
  assert.deepEqual(
    counts,
    fields.map((field) => [field, 1]),
  );
  const needless = rows.filter((row) => !fields.some((field) => covers(row.field, field)));
  assert.deepEqual(needless, []);
});

test("docs/container-spec.md, each row names a test that there is", () => {
  const missing = rows.filter(({ file, name }) => file === "" || !read(file).includes(name));
  assert.deepEqual(missing, []);
});
