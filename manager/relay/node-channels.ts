/** Connections to nodes' engines, for calls that are passed on: one to each node, closed when nobody has used it for a while. */
import { Client, connectivityState } from "@grpc/grpc-js";
import { Fault } from "#proto/fault.ts";
import { channelOptions } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { TlsChannelCredentials } from "#proto/tls/client-credentials.ts";
import type { ServerTls } from "#proto/tls/tls-listener.ts";

/** Where a node's engine is. */
export interface Target {
  readonly nodeId: string;
  readonly address: string;
  /** The node, in words. */
  readonly name: string;
}

/** A connection in use; disposing of it says that the call is over. */
export interface Lease extends Disposable {
  readonly client: Client;
}

export interface NodeChannelsModules {
  readonly tls: ServerTls;
  readonly clock: Clock;
}

interface Channel {
  readonly client: Client;
  calls: number;
  idle: Disposable | undefined;
}

/** A host that is switched off says nothing; one that runs answers within some round trips. */
const connectMs = 5_000;

/** A connection that nobody has used for so long is closed. */
const idleMs = 60_000;

export class NodeChannels implements Disposable {
  readonly #modules: NodeChannelsModules;
  /** By node and address: a node that moves gets another. */
  readonly #channels = new Map<string, Channel>();

  constructor(modules: NodeChannelsModules) {
    this.#modules = modules;
  }

  /** How many connections there are now. */
  get size(): number {
    return this.#channels.size;
  }

  /** Resolves when the node answers, or says at once that it does not: then the call tells why. */
  async lease(target: Target): Promise<Lease> {
    const key = `${target.nodeId} ${target.address}`;
    const channel = this.#channels.get(key) ?? this.#open(target);
    this.#channels.set(key, channel);
    channel.calls += 1;
    channel.idle?.[Symbol.dispose]();
    channel.idle = undefined;
    const release = () => this.#release(key, channel);
    try {
      await settled(channel.client, this.#modules.clock);
    } catch (thrown) {
      release();
      throw Fault.wrap(`Cannot reach ${target.name} at ${target.address}`, thrown);
    }
    return { client: channel.client, [Symbol.dispose]: release };
  }

  [Symbol.dispose](): void {
    for (const key of this.#channels.keys()) this.#close(key);
  }

  #open({ nodeId, address }: Target): Channel {
    const tls = { kind: "mutual", ...this.#modules.tls, nodeId } as const;
    const client = new Client(address, new TlsChannelCredentials(tls), channelOptions);
    return { client, calls: 0, idle: undefined };
  }

  #release(key: string, channel: Channel): void {
    channel.calls -= 1;
    if (channel.calls > 0 || this.#channels.get(key) !== channel) return;
    channel.idle = this.#modules.clock.timer(idleMs, () => this.#close(key));
  }

  #close(key: string): void {
    const channel = this.#channels.get(key);
    channel?.idle?.[Symbol.dispose]();
    channel?.client.close();
    this.#channels.delete(key);
  }
}

/** Resolves when the connection stands or has failed. */
async function settled(client: Client, clock: Clock): Promise<void> {
  const channel = client.getChannel();
  const { promise: late, reject } = Promise.withResolvers<never>();
  late.catch(() => undefined);
  const fault = new Fault("unavailable", `no answer within ${connectMs / 1000} s`);
  using _deadline = clock.timer(connectMs, () => reject(fault));
  for (;;) {
    const state = channel.getConnectivityState(true);
    if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) return;
    const changed = new Promise<void>((resolve) => {
      channel.watchConnectivityState(state, Infinity, () => resolve());
    });
    await Promise.race([changed, late]);
  }
}
