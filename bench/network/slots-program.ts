/**
 * In a network namespace of its own: what nft takes for one backend among 2,000 services with 20 of them and a published
 * port each, beside a full reload in one transaction, and what the agent computes for it. Writes one JSON object.
 * usage: unshare --net node slots-program.ts
 */
import { create } from "@bufbuild/protobuf";
import { systemExec } from "#agent/exec.ts";
import { publishedRules, serviceDeclarations, vipRules } from "#agent/network/services/maps.ts";
import { emptyServices, type ServicePicture } from "#agent/network/services/picture.ts";
import { planServices } from "#agent/network/services/plan.ts";
import { type WantedServices, wantedServices } from "#agent/network/services/wanted.ts";
import { NetworkEndpointSchema, ServiceEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { median } from "../samples.ts";

/** Medians, in milliseconds. */
export interface SlotsCost {
  /** Of the transaction alone. */
  readonly changeNftMs: number;
  /** All of the table anew, in one transaction. */
  readonly reloadNftMs: number;
  /** To deal the slots and to write the transaction. */
  readonly computeMs: number;
}

const serviceCount = 2_000;
const taskCount = 20 * serviceCount;
/** One backend goes or comes back. */
const changes = 22;
const reloads = 3;
const nftTimeoutMs = 60_000;

const address = (base: number, index: number) =>
  `10.${base + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
const services = Array.from({ length: serviceCount }, (_, index) =>
  create(ServiceEndpointSchema, {
    id: `s${index}`,
    networks: [{ networkId: "net", virtualIp: address(101, index) }],
    ports: [{ publishedPort: 10_000 + index, targetPort: 80 }],
    publishedNetworkId: "net",
  }),
);
const endpoints = Array.from({ length: taskCount }, (_, index) =>
  create(NetworkEndpointSchema, {
    id: `t${index}`,
    networkId: "net",
    nodeId: `n${index % 100}`,
    serviceId: `s${index % serviceCount}`,
    address: address(102, index),
    serving: true,
  }),
);

const table = [
  "add table inet swarm",
  "delete table inet swarm",
  "table inet swarm {",
  serviceDeclarations(),
  "  chain nat_pre {",
  "    type nat hook prerouting priority dstnat",
  vipRules(),
  publishedRules(),
  "  }",
  "}",
];

async function nftMs(lines: readonly string[]): Promise<number> {
  const input = `${lines.join("\n")}\n`;
  const startedAt = performance.now();
  await systemExec.run("nft", ["-f", "-"], { input, timeoutMs: nftTimeoutMs });
  return performance.now() - startedAt;
}

function deal(
  gone: number | undefined,
  previous: ServicePicture & Partial<WantedServices>,
): Promise<WantedServices> {
  const input = {
    nodeId: "n1",
    networkIds: new Set(["net"]),
    services,
    endpoints: endpoints.filter((_, index) => index !== gone),
    hostPorts: [],
  };
  return wantedServices(input, previous);
}

async function measure(): Promise<SlotsCost> {
  let standing = await deal(undefined, emptyServices);
  const full = [...table, ...(await planServices(emptyServices, standing))];
  const reload: number[] = [];
  while (reload.length < reloads) reload.push(await nftMs(full));
  const compute: number[] = [];
  const change: number[] = [];
  while (change.length < changes) {
    const gone = change.length % 2 === 0 ? 777 + change.length : undefined;
    const startedAt = performance.now();
    const wanted = await deal(gone, standing);
    const lines = await planServices(standing, wanted);
    compute.push(performance.now() - startedAt);
    change.push(await nftMs(lines));
    standing = wanted;
  }
  return {
    changeNftMs: median(change),
    reloadNftMs: median(reload),
    computeMs: median(compute),
  };
}

process.stdout.write(`${JSON.stringify(await measure())}\n`);
