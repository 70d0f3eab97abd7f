import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import type { FileHost } from "./cluster-file/cluster-file.ts";
import { type DestroyPorts, destroy, lookAtHosts, refuseOtherName } from "./destroy.ts";
import { planDestroy } from "./plan-destroy.ts";
import type { Remote, RunResult } from "./remote.ts";

interface FakeHost {
  isManager?: boolean;
  hasData?: boolean;
  fault?: Fault;
  /** What clearing it leaves. */
  left?: string;
}

/** Hosts that say what the scripts on them would. */
class Ground {
  readonly told: string[] = [];
  readonly cleared: string[] = [];
  readonly #fakes: ReadonlyMap<string, FakeHost>;

  constructor(fakes: Readonly<Record<string, FakeHost>>) {
    this.#fakes = new Map(Object.entries(fakes));
  }

  get hosts(): FileHost[] {
    return [...this.#fakes].map(([name, { isManager = false }]) => {
      return { address: name, name, isManager, runsTasks: true, ssh: {} };
    });
  }

  get ports(): DestroyPorts {
    return {
      signal: new AbortController().signal,
      onHost: ({ name }, what) => this.told.push(`${name}: ${what}`),
      remoteOf: (host) => this.#remote(host.name),
    };
  }

  #remote(name: string): Remote {
    const fake = this.#fakes.get(name) ?? {};
    const missing = () => Promise.reject(new Fault("unimplemented", "nobody asks for it"));
    const run = async (command: readonly string[]): Promise<RunResult> => {
      if (fake.fault !== undefined) throw fake.fault;
      const { hasData = true, isManager = false, left } = fake;
      if (!command.includes("--")) return ok(remainsText({ hasData, isManager }));
      this.cleared.push(`${name} ${command.at(-1)}`);
      if (left !== undefined) return ok(`left\t${left}\n`);
      fake.hasData = false;
      return ok("");
    };
    return { name, run, copy: missing, socket: missing, [Symbol.asyncDispose]: async () => {} };
  }
}

function ok(stdout: string): RunResult {
  return { status: 0, stdout, stderr: "" };
}

function remainsText({ hasData, isManager }: { hasData: boolean; isManager: boolean }): string {
  const role = isManager ? "manager" : "worker";
  const node = JSON.stringify({ nodeId: "n", clusterId: "c", role });
  return hasData ? `version\t1\ndata\tyes\nnode\t${node}\nend\t\n` : "end\t\n";
}

const wish = { keepPackage: false };

async function run(ground: Ground) {
  const plan = planDestroy(await lookAtHosts(ground.hosts, ground.ports), wish);
  const leftovers = await destroy(plan, wish, ground.ports);
  return leftovers.map(({ host, what }) => `${host.name}: ${what}`);
}

test("destroy, workers go before managers", async () => {
  const ground = new Ground({ m1: { isManager: true }, w1: {}, m2: { isManager: true }, w2: {} });
  assert.deepEqual(await run(ground), []);
  assert.deepEqual(ground.cleared.slice(0, 2).toSorted(), ["w1 remove", "w2 remove"]);
  assert.deepEqual(ground.cleared.slice(2).toSorted(), ["m1 remove", "m2 remove"]);
});

test("destroy, a second run finds nothing to do", async () => {
  const ground = new Ground({ m1: { isManager: true }, w1: {} });
  await run(ground);
  ground.cleared.length = 0;
  assert.deepEqual(await run(ground), []);
  assert.deepEqual(ground.cleared, []);
});

test("destroy, what stays is named, and keeps no other host", async () => {
  const ground = new Ground({
    m1: { isManager: true },
    w1: { left: "link sw-vx0" },
    w2: { fault: new Fault("unavailable", "no route to host") },
    w3: {},
  });
  assert.deepEqual(await run(ground), ["w1: link sw-vx0", "w2: not reached: no route to host"]);
  assert.deepEqual(ground.cleared.toSorted(), ["m1 remove", "w1 remove", "w3 remove"]);
});

test("destroy, another cluster that has come to the file's addresses is left alone", () => {
  const known = (name: string) => ({ name, outsiders: [] });
  assert.throws(() => refuseOtherName(known("shop"), "prod"), {
    message: /the cluster on these hosts is "shop", the file's is "prod": take the file of "shop"/,
  });
  for (const name of ["prod", "default"]) refuseOtherName(known(name), "prod");
});

test("destroy, Ctrl-C ends it before the managers go", async () => {
  const ground = new Ground({ m1: { isManager: true }, w1: {} });
  const plan = planDestroy(await lookAtHosts(ground.hosts, ground.ports), wish);
  const remoteOf: DestroyPorts["remoteOf"] = (host) => ({
    ...ground.ports.remoteOf(host),
    run: () => Promise.reject(new Fault("canceled", "interrupted")),
  });
  await assert.rejects(destroy(plan, wish, { ...ground.ports, remoteOf }), { code: "canceled" });
  assert.deepEqual(ground.cleared, []);
});
