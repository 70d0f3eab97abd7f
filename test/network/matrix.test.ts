/** Who may reach whom, over all kinds of networks: a table, asked cell by cell over tcp in both families. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isRefused } from "./claims.ts";
import { Cluster, hostServicePort } from "./cluster.ts";
import { clientAddress, clientAddress6, hostAddress, hostAddress6 } from "./lan.ts";
import type { TaskPlan } from "./scene.ts";

/**
 * From: a task on host 1, host 1 itself, and a client that takes host 1 for the way to every network. To: a task of the same
 * network, here on host 1 or there on host 2; one of another network; the gateway's DNS; a service of the hosts' own; the
 * LAN; a service's address; a port that is published. "-": there is none.
 */
const table = `
         families task-here task-there other-here other-there dns other-dns host host-there lan vip other-vip port port-there
front    4+6      yes       yes        no         no          yes no        yes  yes        yes yes no        yes  yes
back     4+6      yes       yes        no         no          yes no        yes  yes        yes yes no        yes  yes
inner    4+6      yes       yes        no         no          yes no        no   no         no  yes no        no   no
sealed   4+6      yes       yes        no         no          yes no        yes  yes        yes yes no        yes  yes
own      4        yes       yes        no         no          yes no        yes  yes        yes yes no        yes  yes
ingress  4        no        no         no         no          yes no        yes  yes        yes -   no        yes  yes
bridge   4        yes       no         no         no          yes no        yes  yes        yes -   no        yes  yes
host     4+6      yes       yes        yes        yes         yes yes       yes  yes        yes no  no        yes  yes
lan      4+6      no        no         no         no          no  no        yes  yes        yes no  no        yes  yes
`;

/** The asker, and what "task", "other" and "vip" mean to it; [IPv4, IPv6]. */
interface Asker {
  readonly probe: string;
  readonly here: Addresses;
  readonly there: Addresses;
  readonly otherHere: Addresses;
  readonly otherThere: Addresses;
  readonly gateway: Addresses;
  readonly otherGateway: Addresses;
  readonly vip: Addresses;
  readonly otherVip: Addresses;
}

type Addresses = readonly string[];

const front = {
  here: ["10.100.1.21", "fd00:64:1::21"],
  there: ["10.100.1.12", "fd00:64:1::12"],
  gateway: ["10.100.1.1", "fd00:64:1::1"],
  vip: ["10.100.1.200", "fd00:64:1::200"],
} as const;

const back = {
  here: ["10.100.2.22", "fd00:64:2::22"],
  there: ["10.100.2.12", "fd00:64:2::12"],
  gateway: ["10.100.2.1", "fd00:64:2::1"],
  vip: ["10.100.2.201", "fd00:64:2::201"],
} as const;

const otherwise = ({ here, there, gateway, vip }: typeof front | typeof back) => ({
  otherHere: here,
  otherThere: there,
  otherGateway: gateway,
  otherVip: vip,
});

const askers: Readonly<Record<string, Asker>> = {
  front: { probe: "a1", ...front, ...otherwise(back) },
  back: { probe: "b1", ...back, ...otherwise(front) },
  inner: {
    probe: "i1",
    here: ["10.100.3.22", "fd00:64:3::22"],
    there: ["10.100.3.12", "fd00:64:3::12"],
    gateway: ["10.100.3.1", "fd00:64:3::1"],
    vip: ["10.100.3.200", "fd00:64:3::200"],
    ...otherwise(front),
  },
  sealed: {
    probe: "e1",
    here: ["10.100.4.22", "fd00:64:4::22"],
    there: ["10.100.4.12", "fd00:64:4::12"],
    gateway: ["10.100.4.1", "fd00:64:4::1"],
    vip: ["10.100.4.200", "fd00:64:4::200"],
    ...otherwise(front),
  },
  own: {
    probe: "u1",
    here: ["172.31.77.22"],
    there: ["172.31.77.18"],
    gateway: ["172.31.77.30"],
    vip: ["172.31.77.25"],
    ...otherwise(front),
  },
  ingress: {
    probe: "p1",
    here: ["10.100.16.21"],
    there: ["10.100.16.12"],
    gateway: ["10.100.16.1"],
    vip: [],
    ...otherwise(front),
  },
  bridge: {
    probe: "l1",
    // Their hosts choose them.
    here: [],
    there: [],
    gateway: ["172.17.0.1"],
    vip: [],
    ...otherwise(front),
  },
  host: { probe: "h1", ...front, ...otherwise(back) },
  lan: { probe: "cl", ...front, ...otherwise(back) },
};

/** Neighbours on host 1 of those that have none in the scene. */
const neighbours: readonly TaskPlan[] = [
  {
    name: "b1b",
    places: [{ network: "back", address: "10.100.2.22", address6: "fd00:64:2::22" }],
  },
  {
    name: "i1b",
    places: [{ network: "inner", address: "10.100.3.22", address6: "fd00:64:3::22" }],
  },
  {
    name: "e1b",
    places: [{ network: "sealed", address: "10.100.4.22", address6: "fd00:64:4::22" }],
  },
  { name: "u1b", places: [{ network: "own", address: "172.31.77.22" }] },
  { name: "p1b", places: [{ network: "ingress", address: "10.100.16.21" }], bridge: true },
  { name: "l1", places: [], bridge: true },
  { name: "l1b", places: [], bridge: true },
].map((plan) => ({ ...plan, host: 1, service: "" }) as TaskPlan);

interface Aim {
  readonly addresses: Addresses;
  readonly port: number;
}

function aimsOf(asker: Asker): Readonly<Record<string, Aim>> {
  const hosts = [1, 2].map((number): Addresses => [hostAddress(number), hostAddress6(number)]);
  const [here = [], there = []] = hosts;
  return {
    "task-here": { addresses: asker.here, port: 80 },
    "task-there": { addresses: asker.there, port: 80 },
    "other-here": { addresses: asker.otherHere, port: 80 },
    "other-there": { addresses: asker.otherThere, port: 80 },
    dns: { addresses: asker.gateway, port: 53 },
    "other-dns": { addresses: asker.otherGateway, port: 53 },
    host: { addresses: here, port: hostServicePort },
    "host-there": { addresses: there, port: hostServicePort },
    lan: { addresses: [clientAddress, clientAddress6], port: 80 },
    vip: { addresses: asker.vip, port: 80 },
    "other-vip": { addresses: asker.otherVip, port: 80 },
    port: { addresses: here, port: 8080 },
    "port-there": { addresses: there, port: 9092 },
  };
}

describe("network, who may reach whom", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
    for (const task of neighbours) await cluster.add(task);
    const ip = (...args: string[]) => cluster.lan.client.run("ip", args);
    await ip("route", "add", "10.100.0.0/16", "via", hostAddress(1));
    await ip("-6", "route", "add", "fd00:64::/32", "via", hostAddress6(1));
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const [columns = [], ...rows] = table
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  for (const [name = "", families = "", ...cells] of rows) {
    for (const family of families.split("+")) {
      test(`${name}, IPv${family}`, async () => {
        const asker = askerOf(name);
        const aims = aimsOf(asker);
        const found = await Promise.all(
          columns.slice(1).map(async (column) => {
            const { addresses = [], port = 0 } = aims[column] ?? {};
            const address = addresses[family === "4" ? 0 : 1];
            if (address === undefined) return `${column}: -`;
            return `${column}: ${await reach(asker.probe, address, port)}`;
          }),
        );
        assert.deepEqual(
          found,
          columns.slice(1).map((column, place) => `${column}: ${cells[place]}`),
        );
      });
    }
  }

  function askerOf(name: string): Asker {
    const asker = askers[name];
    assert(asker !== undefined, name);
    if (name !== "bridge") return asker;
    const onBridge = (task: string) =>
      cluster.addressesOf(task).filter((address) => address.startsWith("172.17."));
    return { ...asker, here: onBridge("l1b"), there: onBridge("p2") };
  }

  async function reach(from: string, address: string, port: number): Promise<string> {
    const probe = cluster.probe(from);
    if (port === 53) {
      const query = { protocol: "tcp", server: address, name: from, type: "A" } as const;
      return /^(timeout|E[A-Z]+)$/.test(await probe.resolve(query)) ? "no" : "yes";
    }
    const { text } = await probe.askTimed({ protocol: "tcp", address, port });
    if (text.includes(" ")) return "yes";
    await isRefused(probe, { protocol: "tcp", address, port });
    return "no";
  }
});
