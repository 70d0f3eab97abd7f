import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { NodeAvailability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { ClusterFile, FileHost } from "./cluster-file/cluster-file.ts";
import { availabilities, rolesLabel } from "./node-settings.ts";
import { planApply } from "./plan-apply.ts";
import { describeStep, type Plan } from "./steps.ts";
import { Model, type ModelNode } from "./testing/model.ts";

const packages = {
  x64: { path: "/p/swarm-1.0.0-linux-x64.tar.gz", version: "1.0.0", arch: "x64" },
} as const;

function fileOf(hosts: readonly FileHost[], options = {}): ClusterFile {
  return { cluster: "prod", ssh: {}, hosts, options, warnings: [] };
}

function host(number: number, given: Partial<FileHost> = {}): FileHost {
  const address = `10.0.0.${number}`;
  return {
    address,
    name: `h${number}`,
    isManager: false,
    runsTasks: true,
    ssh: {},
    ...given,
  };
}

function shown({ phases }: Plan): string[][] {
  return phases.map((phase) => phase.map((step) => `${step.on}: ${describeStep(step)}`));
}

const up = { isUp: true, runs: true, installed: "1.0.0" };

function worker(given: Partial<ModelNode> = {}): Omit<ModelNode, "id" | "address"> {
  return { isManager: false, availability: NodeAvailability.ACTIVE, labels: {}, ...given };
}

test("plan, three new hosts are installed, begin, join and are promoted one by one", () => {
  const labels = { zone: "a" };
  const file = fileOf([
    host(1, { isManager: true, labels }),
    host(2, { isManager: true }),
    host(3),
  ]);
  assert.deepEqual(shown(planApply(file, new Model().survey(file), packages)), [
    ["h1: install swarm 1.0.0", "h2: install swarm 1.0.0", "h3: install swarm 1.0.0"],
    ["h1: begin the cluster"],
    ["h2: join the cluster", "h3: join the cluster"],
    ["h1: label zone=a"],
    ["h2: become a manager"],
  ]);
});

test("plan, managers come before managers go, and the node that goes is drained first", () => {
  const model = new Model();
  model.addNode({ address: "10.0.0.1", ...up }, worker({ isManager: true }));
  model.addNode({ address: "10.0.0.2", ...up }, worker({ isManager: true }));
  const file = fileOf([host(1, { isManager: true }), host(3, { isManager: true })]);
  assert.deepEqual(shown(planApply(file, model.survey(file), packages)).slice(1), [
    ["h3: join the cluster"],
    ["h3: become a manager"],
    ["host-10.0.0.2: hand its tasks to other hosts"],
    ["host-10.0.0.2: become a worker"],
    ["host-10.0.0.2: leave the cluster, and have swarm removed with its data"],
  ]);
});

test("plan, a manager that is up is not let go where the rest would be no majority", () => {
  const model = new Model();
  model.addNode({ address: "10.0.0.1", ...up }, worker({ isManager: true }));
  model.addNode({ address: "10.0.0.2", ...up }, worker({ isManager: true }));
  model.addNode({ address: "10.0.0.3", ...up, isUp: false }, worker({ isManager: true }));
  const three = [1, 2, 3].map((number) => host(number, { isManager: number !== 2 }));
  assert.throws(() => planApply(fileOf(three), model.survey(fileOf(three)), packages), {
    code: "failed-precondition",
    message:
      /^Without h2 as a manager, 1 of 2 managers would be reachable, and 2 are needed: bring/,
  });
  const gone = fileOf([host(1, { isManager: true }), host(2)]);
  const steps = shown(planApply(gone, model.survey(gone), packages));
  assert.deepEqual(steps.slice(0, 2), [
    ["host-10.0.0.3: become a worker"],
    ["h2: become a worker"],
  ]);
});

test("plan, nobody goes while a host does not say which node it is", () => {
  const model = new Model();
  model.addNode({ address: "10.0.0.1", ...up }, worker({ isManager: true }));
  model.addNode({ address: "10.0.0.2", ...up }, worker());
  model.hosts.set("10.0.0.9", { address: "10.0.0.9", isUp: false, runs: false });
  const file = fileOf([host(1, { isManager: true }), host(9)]);
  const plan = planApply(file, model.survey(file), packages);
  assert.deepEqual(plan.leavers, []);
  assert.match(
    plan.warnings[0] ?? "",
    /host-10\.0\.0\.2, which stays all the same: h9 does not say/,
  );
});

test("plan, a host that is down is known by its address and stays", () => {
  const model = new Model();
  model.addNode({ address: "10.0.0.1", ...up }, worker({ isManager: true }));
  model.addNode({ address: "10.0.0.2", ...up, isUp: false }, worker());
  const file = fileOf([host(1, { isManager: true }), host(2)]);
  assert.deepEqual(planApply(file, model.survey(file), packages), {
    phases: [],
    leavers: [],
    warnings: [],
  });
});

test("plan, nodes keep their version, whatever package there is", () => {
  const model = new Model();
  model.addNode({ address: "10.0.0.1", ...up, installed: "0.9.0" }, worker({ isManager: true }));
  const file = fileOf([host(1, { isManager: true })]);
  assert.deepEqual(planApply(file, model.survey(file), packages).phases, []);
});

test("plan, a host whose swarmd stands still is only started, and who it is asked then", () => {
  const model = new Model();
  model.addNode({ address: "10.0.0.1", ...up }, worker({ isManager: true }));
  model.addNode({ address: "10.0.0.2", ...up, runs: false }, worker());
  const file = fileOf([host(1, { isManager: true }), host(2)]);
  assert.deepEqual(shown(planApply(file, model.survey(file), packages)), [["h2: start swarmd"]]);
});

test("plan, a node drained by hand stays so; one drained by its roles runs tasks when they say so", () => {
  const model = new Model();
  const availability = NodeAvailability.DRAIN;
  model.addNode({ address: "10.0.0.1", ...up }, worker({ isManager: true }));
  model.addNode({ address: "10.0.0.2", ...up }, worker({ availability }));
  const planOf = (...hosts: FileHost[]) => {
    const file = fileOf(hosts);
    const plan = planApply(file, model.survey(file), packages);
    model.perform(file, plan);
    return shown(plan);
  };
  const manager = host(1, { isManager: true });
  assert.deepEqual(planOf(manager, host(2)), []);
  assert.deepEqual(planOf({ ...manager, runsTasks: false }, host(2)), [
    ["h1: label swarm.roles=manager, availability drain"],
  ]);
  assert.deepEqual(planOf(manager, host(2)), [["h1: no label swarm.roles, availability active"]]);
  assert.deepEqual(planOf(manager, host(2, { availability: "active" })), [
    ["h2: availability active"],
  ]);
});

// ---------------------------------------------------------------- whatever there is

const availability = fc.constantFrom("active" as const, "pause" as const, "drain" as const);
const labels = fc.dictionary(fc.constantFrom("zone", "disk"), fc.constantFrom("a", "b"));

const fileHosts = fc
  .uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 7 })
  .chain((numbers) =>
    fc.tuple(
      ...numbers.map((number) =>
        fc
          .record({
            isManager: fc.boolean(),
            runsTasks: fc.boolean(),
            availability: fc.option(availability, { nil: undefined }),
            labels: fc.option(labels, { nil: undefined }),
          })
          .map(({ labels: given, availability: word, ...rest }) =>
            host(number, {
              ...rest,
              ...(word && { availability: word }),
              ...(given && { labels: given }),
            }),
          ),
      ),
    ),
  )
  .filter((hosts) => hosts.some(({ isManager }) => isManager));

const options = fc.record({ "auto-rebalance": fc.boolean() }, { requiredKeys: [] });

const present = fc.uniqueArray(
  fc.record({
    number: fc.integer({ min: 1, max: 7 }),
    isManager: fc.boolean(),
    isUp: fc.integer({ min: 0, max: 3 }).map((value) => value > 0),
    runs: fc.integer({ min: 0, max: 5 }).map((value) => value > 0),
    isForgotten: fc.integer({ min: 0, max: 7 }).map((value) => value === 0),
    availability: availability.map((word) => availabilities[word]),
    labels,
    mark: fc.option(fc.constant({ [rolesLabel]: "manager" }), { nil: {} }),
  }),
  { maxLength: 7, selector: ({ number }) => number },
);

/** As `apply` does it: hosts are asked anew when they have been made ready. */
function applyTo(model: Model, file: ClusterFile): void {
  const before = planApply(file, model.survey(file), packages);
  const early = before.phases.filter((phase) =>
    phase.some(({ kind }) => kind === "install" || kind === "start"),
  );
  model.perform(file, { ...before, phases: early });
  model.perform(file, planApply(file, model.survey(file), packages));
}

test("plan, from anywhere it comes to what the file says, never without a majority", () => {
  let reached = 0;
  const property = fc.property(fileHosts, options, present, (hosts, given, there) => {
    const file = fileOf(hosts, given);
    const model = new Model();
    const before = new Map<string, { how: NodeAvailability; isMarked: boolean }>();
    for (const { number, isUp, runs, isManager, ...node } of there) {
      const { availability: how, labels: own, mark } = node;
      const has = { ...own, ...mark };
      if (isUp) before.set(`10.0.0.${number}`, { how, isMarked: rolesLabel in mark });
      const ready = {
        address: `10.0.0.${number}`,
        isUp,
        runs: runs || isManager,
        installed: "1.0.0",
      };
      model.addNode(ready, { isManager, availability: how, labels: has });
    }
    fc.pre(model.hasQuorum());
    for (const { number, isForgotten, isManager } of there) {
      const id = model.hosts.get(`10.0.0.${number}`)?.nodeId;
      if (!isForgotten || isManager || id === undefined) continue;
      model.nodes.delete(id);
      before.delete(`10.0.0.${number}`);
    }
    const first = model.survey(file);
    // Where no manager of the cluster is among the hosts, `findProblems` has refused already.
    fc.pre(first.cluster !== undefined || model.nodes.size === 0);
    fc.pre(
      first.hosts.some(({ host: { isManager }, report }) => isManager && report !== undefined),
    );
    try {
      applyTo(model, file);
    } catch (thrown) {
      // Refused beforehand, and only where some manager is down.
      assert(
        thrown instanceof Fault && /managers would be reachable/.test(thrown.message),
        String(thrown),
      );
      assert(
        [...model.nodes.values()].some(
          (node) => node.isManager && !model.hosts.get(node.address)?.isUp,
        ),
      );
      return;
    }
    reached += 1;
    for (const wanted of file.hosts) {
      const real = model.hosts.get(wanted.address);
      if (real?.isUp === false) continue;
      const node = model.nodes.get(real?.nodeId ?? "");
      assert(node !== undefined, `${wanted.name} is no node`);
      assert.equal(node.isManager, wanted.isManager);
      const { how = NodeAvailability.ACTIVE, isMarked = false } = before.get(wanted.address) ?? {};
      const silent = isMarked ? NodeAvailability.ACTIVE : how;
      const byRoles = wanted.runsTasks ? silent : NodeAvailability.DRAIN;
      const said = wanted.availability && availabilities[wanted.availability];
      assert.equal(node.availability, said ?? byRoles);
      const { [rolesLabel]: mark, ...rest } = node.labels;
      assert.equal(mark, wanted.runsTasks ? undefined : "manager");
      if (wanted.labels !== undefined) assert.deepEqual(rest, { ...wanted.labels });
    }
    const again = planApply(file, model.survey(file), packages);
    assert.deepEqual(again.phases, []);
  });
  fc.assert(property, { numRuns: 500 });
  assert(reached > 200, `only ${reached} runs came to their end`);
});
