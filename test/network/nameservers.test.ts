/** Tasks with nameservers of their own, which their host asks for them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import type { Namespace } from "#agent/network/testing/namespace.ts";
import { Cluster, taskId } from "./cluster.ts";
import { clientAddress } from "./lan.ts";
import { gateways, type NetworkName, type TaskPlan } from "./scene.ts";

const program = fileURLToPath(new URL("nameserver.ts", import.meta.url));

/** What the nameserver in the LAN answers. */
const outsideAnswer = "192.0.2.99";

function asker(
  name: string,
  place: { readonly network: NetworkName; readonly address: string },
  nameservers: readonly string[],
): TaskPlan {
  return { name, host: 1, service: "asking", places: [place], nameservers };
}

const inFront = (last: number) => ({ network: "front", address: `10.100.1.${last}` }) as const;
const inInner = (last: number) => ({ network: "inner", address: `10.100.3.${last}` }) as const;
const inSealed = (last: number) => ({ network: "sealed", address: `10.100.4.${last}` }) as const;

const a2 = "10.100.1.12";
const b2 = "10.100.2.12";
const i2 = "10.100.3.12";
const e2 = "10.100.4.12";

const askers: readonly TaskPlan[] = [
  asker("q1", inFront(51), [a2]),
  asker("q2", inFront(52), ["fd00:64:1::12"]),
  asker("q3", inFront(53), [clientAddress]),
  asker("q4", inFront(54), [b2]),
  asker("q5", inInner(51), [i2]),
  asker("q6", inInner(52), [clientAddress, a2]),
  asker("q7", inSealed(51), [e2]),
  {
    ...asker("q8", { network: "ingress", address: "10.100.16.51" }, [clientAddress]),
    bridge: true,
  },
];

describe("network, tasks' own nameservers", { concurrency: false }, () => {
  let cluster: Cluster;

  const serve = async (namespace: Namespace, answer: string, task?: string) => {
    const inside = task === undefined ? [] : [`--net=/run/netns/${taskId(task)}`];
    const args = [...inside, process.execPath, program, answer];
    const { stdout } = namespace.start("nsenter", args, "pipe");
    assert(stdout !== null);
    await once(stdout, "data", { signal: AbortSignal.timeout(30_000) });
  };
  before(async () => {
    cluster = await Cluster.open();
    for (const task of askers) await cluster.add(task);
    for (const task of ["a2", "b2", "i2", "e2"]) {
      const answer = cluster.task(task).places[0]?.address ?? "";
      await serve(cluster.hostOf(task).namespace, answer, task);
    }
    await serve(cluster.lan.client, outsideAnswer);
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  /** Asks again where nothing comes, as the C library does: WireGuard may have to find its peer first. */
  const resolve = async (task: string, name: string) => {
    const server = gateways[cluster.task(task).places[0]?.network ?? "front"];
    let answer = "timeout";
    for (let tries = 0; tries < 3 && answer === "timeout"; tries++) {
      answer = await cluster.probe(task).resolve({ protocol: "udp", server, name, type: "A" });
    }
    return answer;
  };
  const all = async (name: string) => {
    const names = askers.map((task) => task.name);
    return Object.fromEntries(
      await Promise.all(names.map(async (task) => [task, await resolve(task, name)] as const)),
    );
  };
  const wanted = {
    q1: a2,
    q2: a2,
    q3: outsideAnswer,
    q4: "NXDOMAIN",
    q5: i2,
    q6: "NXDOMAIN",
    q7: e2,
    q8: outsideAnswer,
  };

  test("they are asked on other hosts, by both families, on internal and encrypted networks, outside; never what the task itself could not ask", async () => {
    assert.deepEqual(await all("anything.test"), wanted);
  });

  test("on the bridge they are those of the task with the address that its host has chosen", async () => {
    const bridge = { protocol: "udp", server: "172.17.0.1", type: "A" } as const;
    const reply = await cluster.probe("q8").resolve({ ...bridge, name: "bridge.test" });
    assert.equal(reply, outsideAnswer);
  });

  test("the cluster's names go first", async () => {
    assert.equal(await resolve("q1", "a1b"), "10.100.1.21");
    assert.equal(await resolve("q5", "inside"), "10.100.3.200");
  });

  test("an agent that starts anew knows them", async () => {
    const host = cluster.host(1);
    await host.killAgent();
    await host.startAgent();
    await cluster.apply();
    assert.deepEqual(await all("again.test"), wanted);
  });

  test("a task that comes to an address does not have those of the one before it", async () => {
    await cluster.end("q3");
    await cluster.add({ ...asker("r3", inFront(53), [a2]), host: 1 });
    assert.equal(await resolve("r3", "once-more.test"), a2);
  });
});
