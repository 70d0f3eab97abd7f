/**
 * Whether this node reaches another one: the ports of its manager and engine, and the overlays' way, which is UDP through a
 * VXLAN device, so that a firewall or a smaller MTU between the hosts is seen. Every node answers echoes of its peers there.
 */
import { connect } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Exec } from "#agent/exec.ts";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Peer } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import {
  type ProbeNodeRequest,
  type ProbeNodeResponse,
  ProbeNodeResponseSchema,
  ProbeResult_Problem as Problem,
  type ProbeResultSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { parseHostPort } from "#proto/host-port.ts";
import { encryptionPort } from "#proto/main-network.ts";
import type { Clock } from "#proto/ports.ts";
import { vxlanOverheadBytes } from "../data-plane.ts";
import {
  dataPathPortDefault,
  type Device,
  devices,
  encryptedDevice,
  nodeAddress6,
} from "../devices.ts";
import type { NetworkState } from "../network-state.ts";
import { number as numberIn, parseRecords } from "../tool-output.ts";
import { encryptionOverheadBytes } from "../wireguard/addresses.ts";

const connectMs = 2_000;

const echoes = 20;
const echoIntervalSeconds = 0.01;
const echoWaitSeconds = 1;
/** IPv6 and ICMPv6 headers around an echo's data. */
const echoHeaderBytes = 48;
/** Where not even so much passes, the size is not what is wrong. */
const smallBytes = 256;
/** Sizes that are tried at the same time: what does not pass takes a second to be missed. */
const sizesAtOnce = 36;

export interface ProbeModules {
  readonly exec: Exec;
  readonly clock: Clock;
}

type Result = MessageInitShape<typeof ProbeResultSchema>;

export async function probeNode(
  { nodeId, tcpAddresses }: ProbeNodeRequest,
  state: NetworkState,
  modules: ProbeModules,
): Promise<ProbeNodeResponse> {
  const peer = state.peers.find((one) => one.nodeId === nodeId);
  if (peer === undefined) {
    throw new Fault("not-found", `this node has not heard of node ${nodeId} from its managers`);
  }
  const source = state.self.dataPathAddress;
  const ports = tcpAddresses.map((address) => probePort(address, source, modules));
  const results = await Promise.all(ports);
  const links = parseRecords((await modules.exec.run("ip", ["-j", "link", "show"])).stdout);
  for (const device of devices) {
    const link = links.find((one) => one["ifname"] === device);
    if (link === undefined || (device === encryptedDevice && peer.encryptionKey === "")) continue;
    const mtu = numberIn(link, "mtu");
    const result = await new OverlayProbe({ device, peer, mtu }, modules.exec).run();
    const destination = peer.dataPathAddress;
    results.push({ ...result, source, destination, port: portOf(device, state) });
  }
  return create(ProbeNodeResponseSchema, { results });
}

/** What the results of an overlay are called. */
export function whatOf(device: Device): string {
  return device === encryptedDevice ? "encrypted overlay" : "overlay";
}

function portOf(device: Device, { dataPathPort }: NetworkState): string {
  const plain = dataPathPort || dataPathPortDefault;
  return `${device === encryptedDevice ? encryptionPort : plain}/udp`;
}

async function probePort(
  address: string,
  source: string,
  { clock }: ProbeModules,
): Promise<Result> {
  const { host, port } = parseHostPort(address);
  const startMs = clock.monotonic();
  const { promise, resolve } = Promise.withResolvers<Pick<Result, "problem" | "detail">>();
  const socket = connect({ host, port });
  socket.once("connect", () => resolve({ problem: Problem.NONE }));
  socket.once("error", (error) => {
    const silent = errnoOf(error) === "ETIMEDOUT";
    resolve({ problem: silent ? Problem.SILENCE : Problem.REFUSAL, detail: error.message });
  });
  const late = { problem: Problem.SILENCE, detail: `no answer within ${connectMs / 1000} s` };
  using _deadline = clock.timer(connectMs, () => resolve(late));
  const outcome = await promise;
  const tookMs = (clock.monotonic() - startMs).toFixed(1);
  const own = socket.localAddress;
  socket.destroy();
  return {
    what: `tcp ${address}`,
    ok: outcome.problem === Problem.NONE,
    detail: `${tookMs} ms`,
    source: own ?? source,
    destination: host,
    port: `${port}/tcp`,
    ...outcome,
  };
}

/** Echoes through a VXLAN device, as large as it lets through. */
class OverlayProbe {
  readonly #device: Device;
  readonly #to: string;
  readonly #mtu: number;
  readonly #exec: Exec;

  constructor(
    { device, peer, mtu }: { readonly device: Device; readonly peer: Peer; readonly mtu: number },
    exec: Exec,
  ) {
    this.#device = device;
    this.#to = `${nodeAddress6(peer.number)}%${device}`;
    this.#mtu = mtu;
    this.#exec = exec;
  }

  async run(): Promise<Result> {
    const what = whatOf(this.#device);
    try {
      const pace = ["-c", String(echoes), "-i", String(echoIntervalSeconds)];
      const stdout = await this.#ping(this.#mtu, pace);
      const loss = Number(/([\d.]+)% packet loss/.exec(stdout)?.[1] ?? 100);
      const rtt = /= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1] ?? "?";
      const detail = `${this.#mtu} bytes, ${loss}% lost, ${rtt} ms`;
      return { what, ok: loss === 0, detail, problem: loss === 0 ? Problem.NONE : Problem.LOSS };
    } catch (thrown) {
      if (await this.#passes(smallBytes))
        return { what, ok: false, ...(await this.#sizeProblem()) };
      const [detail = ""] = Fault.from(thrown).message.split("\n", 1);
      return { what, ok: false, problem: Problem.SILENCE, detail };
    }
  }

  async #sizeProblem(): Promise<Result> {
    let [passes, fails] = [smallBytes, this.#mtu];
    while (fails - passes > 1) {
      const step = Math.ceil((fails - passes) / sizesAtOnce);
      const sizes = Array.from({ length: sizesAtOnce }, (_, index) => passes + (index + 1) * step);
      const tried = sizes.filter((size) => size < fails);
      const passed = await Promise.all(tried.map((size) => this.#passes(size)));
      // The largest that passes counts: a smaller one that does not was lost by chance.
      const last = passed.lastIndexOf(true);
      fails = tried[last + 1] ?? fails;
      passes = tried[last] ?? passes;
    }
    const mtu = passes + this.#overheadBytes;
    const detail = `packets of ${this.#mtu + this.#overheadBytes} bytes do not arrive, those of ${mtu} bytes do`;
    return { problem: Problem.SIZE, mtu, detail };
  }

  /** Around an overlay's packet on its way between the hosts. */
  get #overheadBytes(): number {
    const encrypted = this.#device === encryptedDevice;
    return vxlanOverheadBytes + (encrypted ? encryptionOverheadBytes : 0);
  }

  /** Two: the first one may wait for a neighbour's address or for the keys of an encrypted link. */
  async #passes(bytes: number): Promise<boolean> {
    return await this.#ping(bytes, ["-c", "2", "-i", "0.2"]).then(
      () => true,
      () => false,
    );
  }

  async #ping(bytes: number, pace: readonly string[]): Promise<string> {
    const size = ["-M", "do", "-s", String(bytes - echoHeaderBytes)];
    const wait = ["-W", String(echoWaitSeconds)];
    return (await this.#exec.run("ping", ["-n", "-q", ...size, ...pace, ...wait, this.#to])).stdout;
  }
}
