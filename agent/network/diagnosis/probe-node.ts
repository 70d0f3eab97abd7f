/**
 * Whether this node reaches another one: the ports of its manager and engine, and the overlays' way, which is UDP through a
 * VXLAN device, so that a firewall or a smaller MTU between the hosts is seen. Every node answers echoes of its peers there.
 */
import { connect } from "node:net";
import { create } from "@bufbuild/protobuf";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import {
  type ProbeNodeRequest,
  type ProbeNodeResponse,
  ProbeNodeResponseSchema,
  type ProbeResult,
  ProbeResultSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { parseHostPort } from "#proto/host-port.ts";
import { devices, encryptedDevice, nodeAddress6 } from "../devices.ts";
import type { NetworkState } from "../network-state.ts";
import { number as numberIn, parseRecords } from "../tool-output.ts";

const connectMs = 2_000;

const echoes = 20;
const echoIntervalSeconds = 0.01;
const echoWaitSeconds = 1;
/** IPv6 and ICMPv6 headers around an echo's data. */
const echoHeaderBytes = 48;

export interface ProbeModules {
  readonly exec: Exec;
  readonly clock: Clock;
}

export async function probeNode(
  { nodeId, tcpAddresses }: ProbeNodeRequest,
  state: NetworkState,
  modules: ProbeModules,
): Promise<ProbeNodeResponse> {
  const peer = state.peers.find((one) => one.nodeId === nodeId);
  if (peer === undefined) {
    throw new Fault("not-found", `this node has not heard of node ${nodeId} from its managers`);
  }
  const ports = await Promise.all(tcpAddresses.map((address) => probePort(address, modules)));
  const links = parseRecords((await modules.exec.run("ip", ["-j", "link", "show"])).stdout);
  const results = [...ports];
  for (const device of devices) {
    const link = links.find((one) => one["ifname"] === device);
    if (link === undefined || (device === encryptedDevice && peer.encryptionKey === "")) continue;
    const to = `${nodeAddress6(peer.number)}%${device}`;
    results.push(await probeOverlay(device, { to, mtu: numberIn(link, "mtu") }, modules));
  }
  return create(ProbeNodeResponseSchema, { results });
}

async function probePort(address: string, { clock }: ProbeModules): Promise<ProbeResult> {
  const what = `tcp ${address}`;
  const { host, port } = parseHostPort(address);
  const startMs = clock.monotonic();
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = connect({ host, port });
  socket.once("connect", () => resolve(undefined));
  socket.once("error", ({ message }) => resolve(message));
  using _deadline = clock.timer(connectMs, () => resolve(`no answer within ${connectMs / 1000} s`));
  const problem = await promise;
  socket.destroy();
  const tookMs = (clock.monotonic() - startMs).toFixed(1);
  return create(ProbeResultSchema, {
    what,
    ok: problem === undefined,
    detail: problem ?? `${tookMs} ms`,
  });
}

/** Echoes as large as the device lets through. */
async function probeOverlay(
  device: string,
  { to, mtu }: { readonly to: string; readonly mtu: number },
  { exec }: ProbeModules,
): Promise<ProbeResult> {
  const what = device === encryptedDevice ? "encrypted overlay" : "overlay";
  const size = ["-M", "do", "-s", String(mtu - echoHeaderBytes)];
  const pace = [
    "-c",
    String(echoes),
    "-i",
    String(echoIntervalSeconds),
    "-W",
    String(echoWaitSeconds),
  ];
  try {
    const { stdout } = await exec.run("ping", ["-n", "-q", ...size, ...pace, to]);
    const loss = Number(/([\d.]+)% packet loss/.exec(stdout)?.[1] ?? 100);
    const rtt = /= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1] ?? "?";
    const detail = `${mtu} bytes, ${loss}% lost, ${rtt} ms`;
    return create(ProbeResultSchema, { what, ok: loss === 0, detail });
  } catch (thrown) {
    const { message } = Fault.from(thrown);
    const small = await answersSmall(to, exec);
    const detail = small
      ? `packets of ${mtu} bytes do not arrive, smaller ones do: lower the MTU of this host's interface to what the network takes`
      : `no packet arrives: let UDP pass between the hosts' data-path addresses (${message.split("\n", 1)[0]})`;
    return create(ProbeResultSchema, { what, ok: false, detail });
  }
}

async function answersSmall(to: string, exec: Exec): Promise<boolean> {
  try {
    await exec.run("ping", ["-n", "-q", "-c", "1", "-W", String(echoWaitSeconds), to]);
    return true;
  } catch {
    return false;
  }
}
