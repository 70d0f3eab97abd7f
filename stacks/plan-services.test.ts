import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Service, ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { stackFrom } from "./testing/stack-from.ts";
import { planServices, type resolveModes } from "./plan-services.ts";

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
