import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Service, ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import * as fc from "fast-check";
import { stackFrom } from "./testing/stack-from.ts";
import {
  inPortOrder,
  planServices,
  portsFreedFirst,
  publishedPorts,
  type resolveModes,
} from "./plan-services.ts";

const digest = `@sha256:${"a".repeat(64)}`;

function stackWith(image: string, more = "") {
  return stackFrom({
    name: "shop",
    file: "x",
    text: `services: {web: {image: "${image}"${more}}}`,
  });
}

/** The stack's service as it is when its tag was resolved. */
function pinned(image: string): Service {
  const [spec] = stackWith(image).services;
  assert.ok(spec?.task?.runtime.case === "container");
  const value = { ...spec.task.runtime.value, image: `docker.io/library/${image}${digest}` };
  const runtime = { case: "container", value } as const;
  return create(ServiceSchema, { id: "1", spec: { ...spec, task: { ...spec.task, runtime } } });
}

function imageIn(spec: ServiceSpec): string {
  const runtime = spec.task?.runtime;
  return runtime?.case === "container" ? runtime.value.image : "";
}

describe("a deployment over a service whose tag was resolved", () => {
  const plan = (image: string, mode: (typeof resolveModes)[number], more = "") => {
    const [step] = planServices(stackWith(image, more), [pinned("nginx:1")], mode);
    if (step?.kind === "update-service" || step?.kind === "refresh-service") {
      return [step.kind, imageIn(step.spec), step.resolve];
    }
    return [step?.kind];
  };
  const kept = `docker.io/library/nginx:1${digest}`;
  for (const [image, mode, more, ...planned] of [
    ["nginx:1", "always", "", "refresh-service", "nginx:1", true],
    ["nginx:1", "changed", "", "keep-service"],
    ["nginx:1", "never", "", "keep-service"],
    ["nginx:2", "always", "", "update-service", "nginx:2", true],
    ["nginx:2", "changed", "", "update-service", "nginx:2", true],
    ["nginx:2", "never", "", "update-service", "nginx:2", false],
    ["nginx:1", "changed", ", hostname: a", "update-service", kept, false],
    ["nginx:1", "never", ", hostname: a", "update-service", kept, false],
  ] as const) {
    test(`of ${image}${more}, --resolve-image ${mode}, plans ${planned.join(" ")}`, () => {
      assert.deepEqual(plan(image, mode, more), planned);
    });
  }
});

test("services' steps, no port is taken while another has it, unless they want one another's", () => {
  const count = 6;
  /** Each port goes from one service to a later one or to none: there is no circle. */
  const port = fc.record({ from: fc.nat(count), to: fc.nat(count) });
  const stackOf = (ports: readonly (readonly number[])[], order: readonly number[]) => {
    const lines = order.map((at) => {
      const published = (ports[at] ?? []).map((number) => `'${number}:80'`);
      return `s${at}: {image: a, ports: [${published.join(", ")}]}`;
    });
    return stackFrom({ text: `services: {${lines.join(", ")}}` });
  };
  const orders = fc.shuffledSubarray(
    Array.from({ length: count }, (_, at) => at),
    { minLength: count },
  );
  fc.assert(
    fc.property(fc.array(port, { maxLength: 12 }), orders, (moves, order) => {
      const owned = (owner: (move: { from: number; to: number }) => number) =>
        Array.from({ length: count }, (_, at) =>
          moves.flatMap((move, index) => (owner(move) === at ? 8000 + index : [])),
        );
      const before = stackOf(
        owned(({ from, to }) => Math.min(from, to)),
        order,
      );
      const services = before.services.map((spec, at) =>
        create(ServiceSchema, { id: String(at), spec }),
      );
      const after = stackOf(
        owned(({ from, to }) => Math.max(from, to)),
        order,
      );
      const steps = planServices(after, services, "never");
      const ordered = inPortOrder(steps);
      assert.deepEqual(new Set(ordered), new Set(steps));
      const held = new Map(services.map(({ id, spec }) => [id, publishedPorts(spec)]));
      for (const step of ordered) {
        if (step.kind === "create-service" || step.kind === "keep-service") continue;
        held.set(step.service.id, publishedPorts(step.spec));
        const all = [...held.values()].flatMap((ports) => [...ports]);
        assert.equal(new Set(all).size, all.length);
      }
    }),
  );
});

test("services' steps, those that want one another's ports get them after some were freed", () => {
  const count = 5;
  /** Who has each port before and who after; some go round in circles. */
  const owners = fc.array(fc.tuple(fc.nat(count - 1), fc.nat(count - 1)), { maxLength: 8 });
  const specsOf = (ownerOf: readonly number[]) => {
    const lines = Array.from({ length: count }, (_, at) => {
      const ports = ownerOf.flatMap((owner, index) =>
        owner === at ? [`'${8000 + index}:80'`] : [],
      );
      return `s${at}: {image: a, ports: [${ports.join(", ")}]}`;
    });
    return stackFrom({ text: `services: {${lines.join(", ")}}` });
  };
  fc.assert(
    fc.property(owners, (moves) => {
      const after = specsOf(moves.map(([, to]) => to));
      const services = new Map(
        specsOf(moves.map(([from]) => from)).services.map((spec, at) => [
          String(at),
          create(ServiceSchema, { id: String(at), spec }),
        ]),
      );
      const take = (id: string, spec: ServiceSpec) => {
        services.set(id, create(ServiceSchema, { id, spec }));
        const all = [...services.values()].flatMap((one) => [...publishedPorts(one.spec)]);
        assert.equal(new Set(all).size, all.length, "a port has two services");
      };
      const plan = () => planServices(after, [...services.values()], "never");
      const freed = portsFreedFirst(plan());
      for (const { service, spec } of freed) {
        const kept = publishedPorts(spec);
        assert.ok([...kept].every((port) => publishedPorts(service.spec).has(port)));
        take(service.id, spec);
      }
      assert.deepEqual(portsFreedFirst(plan()), [], "one round is enough");
      for (const step of inPortOrder(plan())) {
        if ("service" in step && "spec" in step) take(step.service.id, step.spec);
      }
      assert.ok(plan().every(({ kind }) => kind === "keep-service"));
      const isOrdered = moves.every(([from, to]) => from >= to);
      if (isOrdered) assert.deepEqual(freed, [], "where an order does, nothing is freed before");
    }),
  );
});
