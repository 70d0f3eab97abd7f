/**
 * What the network's benchmark runs on: four hosts on one LAN, all of it namespaces of this machine. Hosts 1 and 2 go by
 * the rules alone, 3 and 4 with the fast path; the classical way stands beside on 1 and 2. On the first host of each pair are
 * a client and a server, on the second a server; the fourth column is a service of the second server alone.
 *
 *     rules     10.80.1.11 → .12, .13    VIP .101, published 9101, 9111    encrypted: 10.80.2.11 → .13
 *     fast      10.80.1.21 → .22, .23    VIP .102, published 9102, 9112
 *     classical 10.81.1.11 → .12, .13
 */
import { create } from "@bufbuild/protobuf";
import { useFastPath } from "#agent/network/fastpath/testing/compile.ts";
import type { NetworkState } from "#agent/network/network-state.ts";
import {
  attachmentsOf,
  endpointsOf,
  Ground,
  type Host,
  network,
  type TaskSpec,
} from "#agent/network/testing/ground.ts";
import { Fault } from "#proto/fault.ts";
import { ServiceEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { type Network, PortProtocol, PublishMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { buildClassical, type ClassicalTask, introduce } from "./classical.ts";
import { httpPorts, type Run } from "./load.ts";
import { serve } from "./servers.ts";

export const wayNames = ["rules", "fast", "classical"] as const;

export type WayName = (typeof wayNames)[number];

/** A way from a client to servers; the addresses are the servers'. */
export interface Way {
  readonly client: Run;
  readonly local: string;
  readonly remote: string;
}

export interface ServedWay extends Way {
  /** Of a service of the remote server. */
  readonly vip: string;
  /** HOST:PORT where a client on the LAN meets the remote server through the local host. */
  readonly published: string;
  /** The same, for a load that makes connections. */
  readonly publishedAnew: string;
}

export const front = network("front", "10.80.1.0/24");
const sealed = network("sealed", "10.80.2.0/24", { encrypted: true });

interface Placed {
  readonly spec: TaskSpec;
  readonly host: number;
}

function placed(name: string, host: number, net: Network, address: string): Placed {
  const spec = {
    id: name.padEnd(25, "0"),
    name,
    service: name,
    addresses: [{ network: net, address }],
  };
  return { spec, host };
}

const tasks = {
  rulesClient: placed("rulesclient", 1, front, "10.80.1.11"),
  rulesLocal: placed("ruleslocal", 1, front, "10.80.1.12"),
  rulesRemote: placed("rulesremote", 2, front, "10.80.1.13"),
  fastClient: placed("fastclient", 3, front, "10.80.1.21"),
  fastLocal: placed("fastlocal", 3, front, "10.80.1.22"),
  fastRemote: placed("fastremote", 4, front, "10.80.1.23"),
  sealedClient: placed("sealedclient", 1, sealed, "10.80.2.11"),
  sealedRemote: placed("sealedremote", 2, sealed, "10.80.2.13"),
} as const;

const services = [
  { name: "rulesremote", vip: "10.80.1.101", published: 9101, publishedAnew: 9111 },
  { name: "fastremote", vip: "10.80.1.102", published: 9102, publishedAnew: 9112 },
] as const;

export class Scene implements AsyncDisposable {
  readonly rules: ServedWay;
  readonly fast: ServedWay;
  readonly classical: Way;
  readonly sealed: Omit<Way, "local">;
  readonly lan: Run;
  readonly #ground: Ground;
  readonly #stack: AsyncDisposableStack;

  static async open(onStep: (step: string) => void): Promise<Scene> {
    await using stack = new AsyncDisposableStack();
    const ground = stack.use(await Ground.open(4));
    const scene = new Scene(ground);
    stack.use(await useFastPath());
    for (const number of [3, 4]) {
      await scene.host(number).killAgent();
      await scene.host(number).startAgent();
    }
    // All have to have told their keys before the first is told of the others.
    for (const host of ground.hosts) await host.call({ kind: "apply", state: scene.state(host) });
    for (const { spec, host } of Object.values(tasks)) {
      const arrival = { id: spec.id, attachments: attachmentsOf(spec) };
      await scene.host(host).call({ kind: "attach", tasks: [arrival] });
    }
    // New tasks enter the fast path with the next news.
    for (const host of ground.hosts) await host.call({ kind: "apply", state: scene.state(host) });
    const classical = classicalTasks(scene.host(1), scene.host(2));
    await buildClassical(classical);
    await introduce(classical);
    stack.use(await scene.#serve(classical));
    onStep("four hosts stand, with their tasks and servers");
    scene.#stack.use(stack.move());
    return scene;
  }

  /** For `open`. */
  constructor(ground: Ground) {
    this.#ground = ground;
    this.#stack = new AsyncDisposableStack();
    const from = ({ spec, host }: Placed): Run => runIn(this.host(host), spec.id);
    this.lan = (command, args) => ground.lan.run(command, args);
    this.rules = {
      client: from(tasks.rulesClient),
      local: "10.80.1.12",
      remote: "10.80.1.13",
      vip: services[0].vip,
      published: `${this.host(1).address}:${services[0].published}`,
      publishedAnew: `${this.host(1).address}:${services[0].publishedAnew}`,
    };
    this.fast = {
      client: from(tasks.fastClient),
      local: "10.80.1.22",
      remote: "10.80.1.23",
      vip: services[1].vip,
      published: `${this.host(3).address}:${services[1].published}`,
      publishedAnew: `${this.host(3).address}:${services[1].publishedAnew}`,
    };
    this.classical = {
      client: runIn(this.host(1), "c1"),
      local: "10.81.1.12",
      remote: "10.81.1.13",
    };
    this.sealed = { client: from(tasks.sealedClient), remote: "10.80.2.13" };
  }

  host(number: number): Host {
    const host = this.#ground.hosts[number - 1];
    if (host === undefined) throw new Fault("internal", `there is no host ${number}`);
    return host;
  }

  /** What managers tell this host. */
  state(host: Host): NetworkState {
    const endpoints = Object.values(tasks).flatMap(({ spec, host: at }) =>
      endpointsOf(spec, this.host(at)).map((it) => ({ ...it, serviceId: spec.service })),
    );
    const state = this.#ground.state(host, [front, sealed], endpoints);
    return { ...state, services: services.map(serviceOf) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #serve(classical: readonly ClassicalTask[]): Promise<AsyncDisposable> {
    const ours = Object.values(tasks).map(({ spec, host }) => [this.host(host), spec.id] as const);
    const all = [...ours, ...classical.map(({ host, name }) => [host, name] as const)];
    return serve(
      all.map(([host, name]) => ({
        run: runIn(host, name),
        start: (command, args) => host.startInTask(name, command, args),
      })),
    );
  }
}

function classicalTasks(first: Host, second: Host): readonly ClassicalTask[] {
  return [
    { name: "c1", host: first, address: "10.81.1.11" },
    { name: "c2", host: first, address: "10.81.1.12" },
    { name: "c3", host: second, address: "10.81.1.13" },
  ];
}

function serviceOf({ name, vip, published, publishedAnew }: (typeof services)[number]) {
  const [protocol, publishMode] = [PortProtocol.TCP, PublishMode.INGRESS];
  return create(ServiceEndpointSchema, {
    id: name,
    name,
    networks: [{ networkId: front.id, virtualIp: vip }],
    ports: [
      { protocol, publishedPort: published, targetPort: httpPorts.kept, publishMode },
      { protocol, publishedPort: publishedAnew, targetPort: httpPorts.published, publishMode },
    ],
    publishedNetworkId: front.id,
  });
}

function runIn(host: Host, task: string): Run {
  return (command, args) => host.inTask(task, command, args);
}
