/**
 * What a change costs among 2,000 services with 20 tasks and a published port each, or among 100 with affinity, whose keys
 * have 17 times the slots: `unshare --net node change-bench.ts [affine]`.
 * Prints wall and CPU time of this process and of its programs, and the longest delay of the event loop, in milliseconds.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { systemExec } from "#agent/exec.ts";
import { NetworkEndpointSchema, ServiceEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { EndpointAffinity } from "#proto/gen/swarm/v1/types_pb.ts";
import { publishedRules, serviceDeclarations, vipRules } from "../maps.ts";
import { emptyServices, type ServicePicture } from "../picture.ts";
import { planServices } from "../plan.ts";
import { readServices } from "../reader.ts";
import { type WantedServices, wantedServices } from "../wanted.ts";

const affine = process.argv.includes("affine");
const serviceCount = affine ? 100 : 2_000;
const taskCount = serviceCount * 20;
const changes = 21;
const affinity = affine ? EndpointAffinity.CLIENT_IP : EndpointAffinity.NONE;
const address = (base: number, index: number) =>
  `10.${base + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
const services = Array.from({ length: serviceCount }, (_, index) =>
  create(ServiceEndpointSchema, {
    id: `s${index}`,
    affinity,
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

const delays = monitorEventLoopDelay({ resolution: 1 });
const results = new Map<string, number[][]>();

async function timed<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
  await pause(20);
  delays.reset();
  const cpu = process.cpuUsage();
  const start = performance.now();
  const result = await work();
  const wallMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  await pause(5);
  const all = results.get(name) ?? [];
  results.set(name, [...all, [wallMs, (user + system) / 1_000, delays.max / 1_000_000]]);
  return result;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

const nft = (lines: readonly string[]) =>
  systemExec.run("nft", ["-f", "-"], { input: `${lines.join("\n")}\n`, timeoutMs: 120_000 });

async function lead(
  previous: ServicePicture & Partial<WantedServices>,
  gone: number | undefined,
  label: string,
): Promise<WantedServices> {
  const input = {
    nodeId: "n1",
    networkIds: new Set(["net"]),
    services,
    endpoints: endpoints.filter((_, index) => index !== gone),
    hostPorts: [],
  };
  const wanted = await timed(`${label}: deal`, () => wantedServices(input, previous));
  const lines = await timed(`${label}: plan`, () => planServices(previous, wanted));
  await timed(`${label}: nft`, () => nft(lines));
  return wanted;
}

await nft([
  "table inet swarm {",
  serviceDeclarations(),
  "  chain nat_pre {",
  "    type nat hook prerouting priority dstnat",
  vipRules(),
  publishedRules(),
  "  }",
  "}",
]);
delays.enable();
const scratchRoot = await mkdtemp(join(tmpdir(), "services-"));
try {
  let standing = await lead(emptyServices, undefined, "all");
  for (let change = 0; change < changes; change += 1) {
    standing = await lead(standing, change % 2 === 0 ? 777 + change : undefined, "one task");
  }
  await timed("all: read back", () => readServices(systemExec, scratchRoot));
} finally {
  await rm(scratchRoot, { recursive: true });
}
for (const [name, rows] of results) {
  const [wall, cpu, delay] = [0, 1, 2].map((column) =>
    median(rows.map((row) => row[column] ?? 0)).toFixed(1),
  );
  console.log(`${name.padEnd(16)} wall ${wall}  cpu ${cpu}  longest delay of the loop ${delay}`);
}
