/** What changes cost a host: a task that is attached, a backend that goes among very many. */
import { readFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import type { NetworkState } from "#agent/network/network-state.ts";
import { attachmentsOf, type Host } from "#agent/network/testing/ground.ts";
import {
  type NetworkEndpoint,
  NetworkEndpointSchema,
  ServiceEndpointSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { formatAddress, parseAddress } from "#proto/ipv4.ts";
import { median } from "../samples.ts";
import { front } from "./scene.ts";

export interface AttachCost {
  /** Programs that were run. */
  readonly spawns: number;
  readonly wallMs: number;
  /** Of the agent and the programs. */
  readonly cpuMs: number;
}

const attachCount = 20;
const backendChanges = 7;

/** Of the kernel's ticks; see proc(5). */
const tickMs = 10;

/** One task after the other, on one network. */
export async function measureAttach(host: Host, subnetPart: number): Promise<AttachCost> {
  const before = await cpuMs(host.agentPid);
  const spawns: number[] = [];
  const walls: number[] = [];
  const ids: string[] = [];
  for (let index = 0; index < attachCount; index += 1) {
    const id = `attach${subnetPart}x${index}x`.padEnd(25, "0");
    const address = `10.80.1.${subnetPart + index}`;
    const spec = { id, name: id, service: "", addresses: [{ network: front, address }] };
    const start = performance.now();
    const call = { kind: "attach", tasks: [{ id, attachments: attachmentsOf(spec) }] } as const;
    spawns.push((await host.call(call)).programs.length);
    walls.push(performance.now() - start);
    ids.push(id);
  }
  const cpu = (await cpuMs(host.agentPid)) - before;
  await host.call({ kind: "detach", taskIds: ids });
  return { spawns: median(spawns), wallMs: median(walls), cpuMs: cpu / attachCount };
}

/** Milliseconds of a convergence in which one backend goes or comes back. */
export async function measureBackendChange(
  host: Host,
  state: NetworkState,
  { services, backends }: { readonly services: number; readonly backends: number },
): Promise<number> {
  const base = parseAddress("10.96.0.0");
  const networkId = front.id;
  const endpoints: NetworkEndpoint[] = [];
  const many = Array.from({ length: services }, (_, service) => {
    const id = `many${service}`;
    for (let backend = 0; backend < backends; backend += 1) {
      const address = formatAddress(parseAddress("10.80.1.128") + ((service + backend) % 100));
      const task = `${id}x${backend}`;
      endpoints.push(
        create(NetworkEndpointSchema, {
          id: task,
          taskId: task,
          networkId,
          nodeId: host.id,
          address,
          serviceId: id,
          serviceName: id,
          taskName: task,
          serving: true,
        }),
      );
    }
    const virtualIp = formatAddress(base + service);
    return create(ServiceEndpointSchema, { id, name: id, networks: [{ networkId, virtualIp }] });
  });
  const [leaving] = endpoints;
  const full = { ...state, services: many, endpoints };
  await host.call({ kind: "apply", state: full });
  const times: number[] = [];
  for (let change = 0; change < backendChanges; change += 1) {
    const without = change % 2 === 0 ? endpoints.filter((it) => it !== leaving) : endpoints;
    await host.call({ kind: "apply", state: { ...full, endpoints: without } });
    const { value } = await host.call({ kind: "status" });
    times.push((value as { readonly convergenceMs: number }).convergenceMs);
  }
  await host.call({ kind: "apply", state });
  return median(times);
}

/** Used so far by a process and the children that it has waited for. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // The second field is a name with anything in it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return ticks * tickMs;
}
