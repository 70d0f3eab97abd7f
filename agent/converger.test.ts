import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type NetworkEndpoint,
  NetworkEndpointSchema,
  PeerSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { until } from "#proto/testing/until.ts";
import { type Assigned, nothingAssigned } from "./assigned.ts";
import { Converger } from "./converger.ts";

function networkNamed(id: string): Assigned {
  return { ...nothingAssigned, networks: new Map([[id, create(NetworkSchema, { id })]]) };
}

/** The IDs of the endpoints that serve. */
function served({ endpoints }: { readonly endpoints: readonly NetworkEndpoint[] }): string[] {
  return endpoints.filter(({ serving }) => serving).map(({ id }) => id);
}

function withEndpoints(from: Assigned, endpoints: Readonly<Record<string, boolean>>): Assigned {
  const made = Object.entries(endpoints).map(
    ([id, serving]) => [id, create(NetworkEndpointSchema, { id, serving })] as const,
  );
  return { ...from, endpoints: new Map(made) };
}

/** A host that notes what is done to it, and fails where it is told to. */
class TestHost implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly events: string[] = [];
  readonly errors: string[] = [];
  readonly saved: Assigned[] = [];
  /** Events that fail, by their name. */
  readonly failing = new Map<string, string>();
  /** Awaited by each apply to the network. */
  gate: Promise<void> = Promise.resolve();
  /** Awaited by each repair, once it has begun. */
  repairGate: Promise<void> = Promise.resolve();
  readonly converger: Converger;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(remembered?: Assigned) {
    const log = {
      ...silentLog,
      error: (message: string, fields?: Readonly<Record<string, unknown>>) =>
        void this.errors.push(`${message}: ${String(fields?.["error"])}`),
    };
    const names = (networks: readonly { id: string }[]) => networks.map(({ id }) => id).join();
    this.converger = new Converger(
      { self: () => create(PeerSchema, { nodeId: "self" }), onTasks: () => {} },
      {
        clock: this.clock,
        log,
        network: {
          apply: async ({ networks }) => {
            await this.gate;
            this.#note("network", names(networks));
          },
          repair: async () => {
            this.#note("repair", "");
            await this.repairGate;
          },
          localNetworks: () => [],
        },
        dns: {
          apply: async (state) =>
            this.#note("dns", [names(state.networks), ...served(state)].join(" ")),
        },
        worker: { assign: (tasks) => this.#note("tasks", String(tasks.length)) },
        memory: {
          read: async () => remembered,
          save: (assigned) => void this.saved.push(assigned),
        },
      },
    );
    this.#running = this.converger.run(this.#stop.signal);
  }

  #note(event: string, detail: string): void {
    this.events.push(detail === "" ? event : `${event} ${detail}`);
    const error = this.failing.get(event);
    if (error !== undefined) throw new Fault("internal", error);
  }

  /** The next events, when there are so many. */
  async next(count: number): Promise<string[]> {
    await until(() => this.events.length >= count);
    // What follows the last of them is over, too.
    await turn();
    return this.events.splice(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

test("converger, what takes too long is told while it does", async () => {
  const gate = Promise.withResolvers<void>();
  await using host = new TestHost();
  host.gate = gate.promise;
  host.converger.want(networkNamed("n1"));
  await turn();
  assert.equal(host.converger.slowerThan(1_000), undefined);
  host.clock.advance(1_001);
  assert.equal(host.converger.slowerThan(1_000), "program the network");
  gate.resolve();
  await until(() => host.events.includes("dns n1"));
  await turn();
  assert.equal(host.converger.slowerThan(-1), undefined);
});

test("converger, programs networks before DNS before tasks, and remembers", async () => {
  await using host = new TestHost();
  const wanted = networkNamed("a");
  host.converger.want(wanted);
  assert.deepEqual(await host.next(3), ["network a", "dns a", "tasks 0"]);
  assert.deepEqual(host.saved, [wanted]);
});

test("converger, skips what is overtaken while it works", async () => {
  await using host = new TestHost();
  const gate = Promise.withResolvers<void>();
  host.gate = gate.promise;
  for (const id of ["a", "b", "c"]) {
    host.converger.want(networkNamed(id));
    await turn();
  }
  gate.resolve();
  const events = await host.next(3);
  assert.deepEqual(events.slice(-3), ["network c", "dns c", "tasks 0"]);
  assert(!events.includes("network b"));
});

test("converger, tries again after a failure, starts tasks all the same, complains once", async () => {
  await using host = new TestHost();
  host.failing.set("network", "no room");
  host.converger.want(networkNamed("a"));
  assert.deepEqual(await host.next(3), ["network a", "dns a", "tasks 0"]);
  for (let again = 0; again < 3; again++) {
    host.clock.advance(999);
    assert.deepEqual(host.events, []);
    host.clock.advance(1);
    assert.deepEqual(await host.next(3), ["network a", "dns a", "tasks 0"]);
  }
  host.failing.set("network", "still no room");
  host.clock.advance(1_000);
  await host.next(3);
  host.failing.clear();
  host.failing.set("dns", "port taken");
  host.clock.advance(1_000);
  await host.next(3);
  host.failing.clear();
  host.clock.advance(1_000);
  await host.next(3);
  host.clock.advance(10_000);
  assert.deepEqual(host.events, [], "it is done");
  assert.deepEqual(host.errors, [
    "cannot program the network: no room",
    "cannot program the network: still no room",
    "cannot program DNS: port taken",
  ]);
});

test("converger, news after a failure are carried out at once", async () => {
  await using host = new TestHost();
  host.failing.set("network", "no room");
  host.converger.want(networkNamed("a"));
  await host.next(3);
  host.failing.clear();
  host.converger.want(networkNamed("b"));
  assert.deepEqual(await host.next(3), ["network b", "dns b", "tasks 0"]);
});

test("converger, repairs every 30 s when idle, also while news come", async () => {
  await using host = new TestHost();
  await turn();
  host.clock.advance(29_999);
  host.converger.want(networkNamed("a"));
  await host.next(3);
  host.clock.advance(1);
  assert.deepEqual(await host.next(1), ["repair"]);
  host.failing.set("repair", "nft is missing");
  for (let again = 0; again < 3; again++) {
    await turn();
    host.clock.advance(29_999);
    assert.deepEqual(host.events, []);
    host.clock.advance(1);
    assert.deepEqual(await host.next(1), ["repair"]);
  }
  assert.deepEqual(host.errors, ["cannot repair the network: nft is missing"]);
});

test("converger, repairs also while a network is refused", async () => {
  await using host = new TestHost();
  host.failing.set("network", "no room");
  host.converger.want(networkNamed("a"));
  await host.next(3);
  host.clock.advance(30_000);
  await until(() => host.events.includes("repair"));
});

test("converger, news do not wait for a repair", async () => {
  await using host = new TestHost();
  const gate = Promise.withResolvers<void>();
  host.repairGate = gate.promise;
  await turn();
  host.clock.advance(30_000);
  assert.deepEqual(await host.next(1), ["repair"]);
  host.converger.want(networkNamed("a"));
  assert.deepEqual(await host.next(3), ["network a", "dns a", "tasks 0"]);
  gate.resolve();
});

test("converger, goes by what it remembers of networks until it is told, and leaves tasks alone", async () => {
  await using host = new TestHost(networkNamed("old"));
  assert.deepEqual(await host.next(2), ["network old", "dns old"]);
  host.clock.advance(10_000);
  assert.deepEqual(host.events, []);
  assert.deepEqual(host.saved, [], "nothing new to remember");
  host.converger.want(networkNamed("new"));
  assert.deepEqual(await host.next(3), ["network new", "dns new", "tasks 0"]);
});

test("converger, what a manager said first is not overtaken by what is remembered", async () => {
  await using host = new TestHost(networkNamed("old"));
  host.converger.want(networkNamed("new"));
  assert.deepEqual(await host.next(3), ["network new", "dns new", "tasks 0"]);
});

test("converger, news that come while it goes by what it remembers are not taken for that", async () => {
  await using host = new TestHost(networkNamed("old"));
  const gate = Promise.withResolvers<void>();
  host.gate = gate.promise;
  // It is under way with "old" by now, and waits at the gate.
  await turn();
  host.converger.want(networkNamed("new"));
  gate.resolve();
  assert.deepEqual(await host.next(5), [
    "network old",
    "dns old",
    "network new",
    "dns new",
    "tasks 0",
  ]);
});

test("converger, names go before the network is programmed, and come after it", async () => {
  await using host = new TestHost();
  const net = networkNamed("a");
  host.converger.want(withEndpoints(net, { stays: true, leaves: true, fails: true }));
  await host.next(3);
  host.converger.want(withEndpoints(net, { stays: true, leaves: false, comes: true }));
  assert.deepEqual(await host.next(4), [
    "dns a stays",
    "network a",
    "dns a stays comes",
    "tasks 0",
  ]);
});

test("converger, a name that left goes although the network cannot be programmed", async () => {
  await using host = new TestHost();
  const net = networkNamed("a");
  host.converger.want(withEndpoints(net, { stays: true, leaves: true }));
  await host.next(3);
  const gate = Promise.withResolvers<void>();
  host.gate = gate.promise;
  host.converger.want(withEndpoints(net, { stays: true }));
  assert.deepEqual(await host.next(1), ["dns a stays"]);
  gate.resolve();
  await host.next(3);
});

test("converger, names go also while it works on what was wanted before, and do not come back with that", async () => {
  await using host = new TestHost();
  const net = networkNamed("a");
  host.converger.want(withEndpoints(net, { stays: true, leaves: true }));
  await host.next(3);
  const gate = Promise.withResolvers<void>();
  host.gate = gate.promise;
  host.converger.want(withEndpoints(net, { stays: true, leaves: true, comes: true }));
  await turn();
  host.converger.want(withEndpoints(net, { stays: true, comes: true }));
  assert.deepEqual(await host.next(1), ["dns a stays"]);
  gate.resolve();
  assert.deepEqual(await host.next(6), [
    "network a",
    "dns a stays comes",
    "tasks 0",
    "network a",
    "dns a stays comes",
    "tasks 0",
  ]);
});

test("converger, a burst of assignments that come while it works costs one more round", async () => {
  await using host = new TestHost();
  const gate = Promise.withResolvers<void>();
  host.gate = gate.promise;
  host.converger.want(networkNamed("first"));
  await turn();
  for (let number = 1; number <= 100; number++) host.converger.want(networkNamed(`n${number}`));
  gate.resolve();
  assert.deepEqual(await host.next(6), [
    "network first",
    "dns first",
    "tasks 0",
    "network n100",
    "dns n100",
    "tasks 0",
  ]);
});
