/** What one backend costs that goes or comes back among very many. */
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { systemExec } from "#agent/exec.ts";
import type { NetworkState } from "#agent/network/network-state.ts";
import type { Host } from "#agent/network/testing/ground.ts";
import {
  type NetworkEndpoint,
  NetworkEndpointSchema,
  ServiceEndpointSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { formatAddress, parseAddress } from "#proto/ipv4.ts";
import { median } from "../samples.ts";
import { front } from "./scene.ts";
import type { SlotsCost } from "./slots-program.ts";

/** As the bar is set; each service has a published port, too. */
const serviceCount = 2_000;
const backendCount = 20;
const changeCount = 11;
const slotsTimeoutMs = 120_000;

const slotsProgram = fileURLToPath(new URL("slots-program.ts", import.meta.url));

/** Of service maps alone, without a host around them. */
export async function measureSlots(signal: AbortSignal): Promise<SlotsCost> {
  const args = ["--net", process.execPath, slotsProgram];
  const options = { timeoutMs: slotsTimeoutMs, signal };
  return JSON.parse((await systemExec.run("unshare", args, options)).stdout) as SlotsCost;
}

/** Milliseconds of a host's whole convergence, the median. */
export async function measureBackendChange(host: Host, state: NetworkState): Promise<number> {
  const { services, endpoints } = manyServices(host);
  const [leaving] = endpoints;
  const full = { ...state, services, endpoints };
  await host.call({ kind: "apply", state: full });
  const times: number[] = [];
  for (let change = 0; change < changeCount; change += 1) {
    await host.call({ kind: "serve", endpointId: leaving?.id ?? "", serving: change % 2 === 1 });
    const { value } = await host.call({ kind: "status" });
    times.push((value as { readonly convergenceMs: number }).convergenceMs);
  }
  await host.call({ kind: "apply", state });
  return median(times);
}

function manyServices(host: Host): Pick<NetworkState, "services" | "endpoints"> {
  const base = parseAddress("10.96.0.0");
  const networkId = front.id;
  const endpoints: NetworkEndpoint[] = [];
  const services = Array.from({ length: serviceCount }, (_, service) => {
    const id = `many${service}`;
    for (let backend = 0; backend < backendCount; backend += 1) {
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
    return create(ServiceEndpointSchema, {
      id,
      name: id,
      networks: [{ networkId, virtualIp: formatAddress(base + service) }],
      ports: [{ publishedPort: 10_000 + service, targetPort: 80 }],
      publishedNetworkId: networkId,
    });
  });
  return { services, endpoints };
}
