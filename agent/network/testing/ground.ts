/**
 * Three hosts with their agents on a LAN, all of it namespaces: what the network's test stands on. Tasks are namespaces
 * that the agents make, with one busybox in each.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import type { RunResult } from "#agent/exec.ts";
import {
  type NetworkEndpoint,
  NetworkEndpointSchema,
  PeerSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import {
  type Network,
  NetworkAttachmentSchema,
  NetworkSchema,
  type NetworkSpec,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { NetworkState } from "../network-state.ts";
import type { Answer, Call } from "./host-process.ts";
import { Namespace } from "./namespace.ts";

export const outside = "172.31.99.254";

/** Enough for a virtual machine whose processor is emulated. */
const patienceMs = 60_000;

export interface TaskSpec {
  readonly id: string;
  readonly name: string;
  readonly service: string;
  readonly addresses: readonly { readonly network: Network; readonly address: string }[];
  readonly aliases?: readonly string[];
}

export class Host {
  readonly number: number;
  readonly namespace: Namespace;
  /** What it announces once its agent runs. */
  encryptionKey = "";
  #agent: ChildProcess | undefined;

  constructor(number: number, namespace: Namespace) {
    this.number = number;
    this.namespace = namespace;
  }

  get address(): string {
    return `172.31.99.${this.number}`;
  }

  get id(): string {
    return `node${this.number}`;
  }

  get agentPid(): number {
    assert(this.#agent?.pid !== undefined);
    return this.#agent.pid;
  }

  async startAgent(): Promise<void> {
    this.#agent = await startNode(this.namespace, "host-process.ts");
    this.encryptionKey = String((await this.call({ kind: "key" })).value);
  }

  /** As `kill -9` does. */
  async killAgent(): Promise<void> {
    assert(this.#agent !== undefined);
    const closed = once(this.#agent, "close");
    this.#agent.kill("SIGKILL");
    await closed;
  }

  async call(call: Call): Promise<Extract<Answer, { kind: "done" }>> {
    const answer = await this.tryCall(call);
    assert(answer.kind === "done", answer.kind === "failed" ? answer.message : "");
    return answer;
  }

  async tryCall(call: Call): Promise<Answer> {
    assert(this.#agent !== undefined);
    const answered = once(this.#agent, "message", { signal: AbortSignal.timeout(patienceMs) });
    this.#agent.send(call);
    const [answer] = await answered;
    return answer as Answer;
  }

  /** Inside a task's namespace. */
  inTask(
    taskId: string,
    command: string,
    args: readonly string[],
    input?: Uint8Array,
  ): Promise<RunResult> {
    const all = [`--net=/run/netns/${taskId}`, command, ...args];
    return this.namespace.run("nsenter", all, input === undefined ? {} : { input });
  }

  startInTask(taskId: string, command: string, args: readonly string[]): ChildProcess {
    return this.namespace.start(
      "nsenter",
      [`--net=/run/netns/${taskId}`, command, ...args],
      "pipe",
    );
  }
}

export class Ground {
  readonly lan: Namespace;
  readonly hosts: readonly Host[];
  readonly #stack: AsyncDisposableStack;

  static async open(hostCount: number): Promise<Ground> {
    await using stack = new AsyncDisposableStack();
    const lan = stack.use(await Namespace.open());
    await lan.batch([
      "link add lan0 type bridge forward_delay 0",
      `addr add ${outside}/24 dev lan0`,
      "link set lan0 up",
    ]);
    const hosts: Host[] = [];
    for (let number = 1; number <= hostCount; number += 1) {
      const namespace = stack.use(await Namespace.open());
      const host = new Host(number, namespace);
      hosts.push(host);
      await joinLan(lan, host);
    }
    await Promise.all([
      startNode(lan, "lan-process.ts"),
      ...hosts.map((host) => host.startAgent()),
    ]);
    return new Ground(lan, hosts, stack.move());
  }

  constructor(lan: Namespace, hosts: readonly Host[], stack: AsyncDisposableStack) {
    this.lan = lan;
    this.hosts = hosts;
    this.#stack = stack;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  state(
    self: Host,
    networks: readonly Network[],
    endpoints: readonly NetworkEndpoint[],
  ): NetworkState {
    const peers = this.hosts.map((host) =>
      create(PeerSchema, {
        nodeId: host.id,
        number: host.number,
        dataPathAddress: host.address,
        addresses: [host.address],
        encryptionKey: host.encryptionKey,
      }),
    );
    const own = peers.find((peer) => peer.nodeId === self.id);
    assert(own !== undefined);
    const others = peers.filter((peer) => peer !== own);
    return { self: own, peers: others, networks, endpoints, services: [], dataPathPort: 0 };
  }
}

export function network(id: string, subnet: string, spec: Partial<NetworkSpec> = {}): Network {
  const gateway = subnet.replace(/\.0\/\d+$/, ".1");
  const { internal = false, encrypted = false, ipv6Enabled = false } = spec;
  return create(NetworkSchema, {
    id,
    spec: { annotations: { name: id }, internal, encrypted, ipv6Enabled },
    ipam: { configs: [{ subnet, gateway }] },
  });
}

export function attachmentsOf(task: TaskSpec) {
  return task.addresses.map(({ network, address }) =>
    create(NetworkAttachmentSchema, { network, addresses: [`${address}/24`] }),
  );
}

export function endpointsOf(task: TaskSpec, host: Host): readonly NetworkEndpoint[] {
  return task.addresses.map(({ network, address }) =>
    create(NetworkEndpointSchema, {
      id: `${task.id}/${network.id}`,
      taskId: task.id,
      networkId: network.id,
      nodeId: host.id,
      address,
      serviceName: task.service,
      taskName: task.name,
      aliases: [...(task.aliases ?? [])],
      serving: true,
    }),
  );
}

async function joinLan(lan: Namespace, host: Host): Promise<void> {
  const { namespace, number, address } = host;
  await lan.batch([
    `link add h${number} type veth peer name eth0 netns ${namespace.pid}`,
    `link set h${number} master lan0 up`,
  ]);
  await namespace.batch([
    `addr add ${address}/24 dev eth0`,
    "link set eth0 up",
    `route add default via ${outside}`,
  ]);
  await namespace.run("tee", ["/run/upstream.conf"], { input: `nameserver ${outside}\n` });
}

async function startNode(namespace: Namespace, file: string): Promise<ChildProcess> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = namespace.start(process.execPath, [path], "ipc");
  const started = AbortSignal.timeout(patienceMs);
  await Promise.race([
    once(child, "message", { signal: started }),
    once(child, "close", { signal: started }).then(() => assert.fail(`${file} ended`)),
  ]);
  return child;
}
