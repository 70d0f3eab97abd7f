/** Two hosts on a LAN inside the virtual machine: on each a task of a plain network and one of an encrypted one. */
import { create } from "@bufbuild/protobuf";
import type { NetworkState } from "#agent/network/network-state.ts";
import {
  attachmentsOf,
  endpointsOf,
  Ground,
  type Host,
  network,
  type TaskSpec,
} from "#agent/network/testing/ground.ts";
import type { Namespace } from "#agent/network/testing/namespace.ts";
import { Fault } from "#proto/fault.ts";
import { ServiceEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { type Network, PortProtocol, PublishMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { iperfPort, type Run } from "../network/load.ts";

/** Where a task says who asks it. */
export const tcpPort = 7070;
export const sctpPort = 7132;
export const publishedSctpPort = 9132;
export const virtualAddress = "10.80.1.101";

const front = network("front", "10.80.1.0/24");
const secret = network("secret", "10.80.2.0/24", { encrypted: true });

/** A client on the first host, a server on the second. */
export interface Way {
  readonly client: Run;
  readonly clientAddress: string;
  readonly server: string;
}

function task(name: string, net: Network, address: string): TaskSpec {
  const id = name.padEnd(25, "0");
  return { id, name, service: name, addresses: [{ network: net, address }] };
}

const clients = [
  task("plainclient", front, "10.80.1.11"),
  task("sealedclient", secret, "10.80.2.11"),
];
const servers = [
  task("plainserver", front, "10.80.1.12"),
  task("sealedserver", secret, "10.80.2.12"),
];

const service = create(ServiceEndpointSchema, {
  id: "plainserver",
  name: "plainserver",
  networks: [{ networkId: front.id, virtualIp: virtualAddress }],
  ports: [
    {
      protocol: PortProtocol.SCTP,
      publishedPort: publishedSctpPort,
      targetPort: sctpPort,
      publishMode: PublishMode.INGRESS,
    },
  ],
  publishedNetworkId: front.id,
});

export class MachineScene implements AsyncDisposable {
  readonly plain: Way;
  readonly sealed: Way;
  readonly #ground: Ground;

  static async open(): Promise<MachineScene> {
    await using stack = new AsyncDisposableStack();
    const ground = stack.use(await Ground.open(2));
    const scene = new MachineScene(ground);
    for (const host of scene.hosts) await host.call({ kind: "apply", state: scene.#state(host) });
    for (const [host, specs] of scene.#placed()) {
      const tasks = specs.map((spec) => ({ id: spec.id, attachments: attachmentsOf(spec) }));
      await host.call({ kind: "attach", tasks });
    }
    for (const { id } of servers) await serve(scene.host(2), id);
    stack.move();
    return scene;
  }

  /** For `open`. */
  constructor(ground: Ground) {
    this.#ground = ground;
    const [plain, sealed] = [0, 1].map((index) => this.#way(index));
    if (plain === undefined || sealed === undefined) throw new Fault("internal", "no ways");
    this.plain = plain;
    this.sealed = sealed;
  }

  get hosts(): readonly Host[] {
    return this.#ground.hosts;
  }

  get lan(): Namespace {
    return this.#ground.lan;
  }

  host(number: number): Host {
    const host = this.hosts[number - 1];
    if (host === undefined) throw new Fault("internal", `there is no host ${number}`);
    return host;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ground[Symbol.asyncDispose]();
  }

  #way(index: number): Way {
    const [client, server] = [clients[index], servers[index]];
    if (client === undefined || server === undefined) throw new Fault("internal", "no such way");
    return {
      client: (command, args) => this.host(1).inTask(client.id, command, args),
      clientAddress: addressOf(client),
      server: addressOf(server),
    };
  }

  #placed(): readonly (readonly [Host, readonly TaskSpec[]])[] {
    return [
      [this.host(1), clients],
      [this.host(2), servers],
    ];
  }

  /** What managers tell this host. */
  #state(host: Host): NetworkState {
    const endpoints = this.#placed().flatMap(([at, specs]) =>
      specs.flatMap((spec) =>
        endpointsOf(spec, at).map((it) => ({ ...it, serviceId: spec.service })),
      ),
    );
    return { ...this.#ground.state(host, [front, secret], endpoints), services: [service] };
  }
}

function addressOf({ addresses, name }: TaskSpec): string {
  const [first] = addresses;
  if (first === undefined) throw new Fault("internal", `${name} has no address`);
  return first.address;
}

/** Says over each of its ports whom it sees. */
async function serve(host: Host, id: string): Promise<void> {
  const answer = "SYSTEM:echo $SOCAT_PEERADDR";
  host.startInTask(id, "socat", [`TCP-LISTEN:${tcpPort},fork,reuseaddr`, answer]);
  host.startInTask(id, "socat", [`SCTP-LISTEN:${sctpPort},fork,reuseaddr`, answer]);
  host.startInTask(id, "iperf3", ["-s", "-p", String(iperfPort)]);
  const deadline = AbortSignal.timeout(30_000);
  while (!deadline.aborted) {
    const { stdout } = await host.inTask(id, "ss", ["-HtSln"]);
    const all = [tcpPort, sctpPort, iperfPort].every((port) => stdout.includes(`:${port} `));
    if (all) return;
  }
  throw new Fault("deadline-exceeded", `not all servers listen in ${id}`);
}

/** What the server answers; empty: nothing does. */
export async function ask(run: Run, target: string): Promise<string> {
  const args = ["-u", `${target},connect-timeout=3`, "STDOUT"];
  const answer = await run("socat", args).catch(() => ({ stdout: "" }));
  return answer.stdout.trim();
}
