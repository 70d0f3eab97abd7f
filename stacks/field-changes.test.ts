import assert from "node:assert/strict";
import { test } from "node:test";
import { create, equals } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { UpdateOrder } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { describeChange, fieldChanges } from "./field-changes.ts";

function specOf(image: string, env: string[], ports: number[]) {
  return create(ServiceSpecSchema, {
    annotations: { name: "web", labels: { a: "b" } },
    mode: { case: "replicated", value: { replicas: 2n } },
    task: {
      runtime: {
        case: "container",
        value: { image, env, pullOptions: { registryAuth: `login of ${image}` } },
      },
    },
    endpoint: { ports: ports.map((port) => ({ targetPort: port, publishedPort: port + 8000 })) },
  });
}

const lines = (...[before, after]: [ReturnType<typeof specOf>?, ReturnType<typeof specOf>?]) =>
  fieldChanges(ServiceSpecSchema, before, after).map(describeChange);

test("changes, name the field and both values, and find list elements by name", () => {
  const before = specOf("a:1", ["A=1", "B=2"], [80, 90]);
  const after = specOf("a:2", ["B=2", "A=3", "C="], [70, 80]);
  assert.deepEqual(lines(before, after), [
    '~ task.container.image: "a:1" -> "a:2"',
    '~ task.container.env[A]: "1" -> "3"',
    "- endpoint.ports[90].target_port: 90",
    "- endpoint.ports[90].published_port: 8090",
    '+ task.container.env[C]: ""',
    "+ endpoint.ports[70].target_port: 70",
    "+ endpoint.ports[70].published_port: 8070",
  ]);
});

test("changes, tell durations and enums in words", () => {
  const update = { delay: durationFromMs(1500), order: UpdateOrder.START_FIRST };
  const before = specOf("a", [], []);
  assert.deepEqual(
    lines(before, { ...before, update: create(ServiceSpecSchema, { update }).update }),
    ["+ update.delay: 1.5s", "+ update.order: start-first"],
  );
});

test("changes, of what is new name every field, and no login", () => {
  const all = lines(undefined, specOf("a", [], [])).join("\n");
  assert.match(all, /\+ annotations.name: "web"\n\+ annotations.labels\[a\]: "b"/);
  assert.match(all, /registry_auth: \(a login\)/);
  assert.doesNotMatch(all, /login of a/);
});

test("changes, there are some if and only if the messages differ", () => {
  const word = fc.constantFrom("A=1", "A=2", "B=1");
  const any = fc.record({
    image: fc.constantFrom("a", "b"),
    env: fc.array(word, { maxLength: 3 }),
    ports: fc.array(fc.constantFrom(80, 90), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(any, any, (a, b) => {
      const [before, after] = [a, b].map(({ image, env, ports }) => {
        const spec = specOf(
          image,
          [...new Set(env)].toSorted(),
          ports.toSorted((a, b) => a - b),
        );
        if (spec.task?.runtime.case === "container") delete spec.task.runtime.value.pullOptions;
        return spec;
      });
      assert.ok(before !== undefined && after !== undefined);
      assert.equal(lines(before, after).length === 0, equals(ServiceSpecSchema, before, after));
    }),
    { numRuns: 500 },
  );
});
