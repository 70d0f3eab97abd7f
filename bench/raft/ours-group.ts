/** Our managers as a group of the benchmark. Clients come over TLS, with a user's certificate. */
import { formCluster } from "#lab/cluster.ts";
import type { Host } from "#lab/host.ts";
import { childrenOf, commandOf, identify, type ProcessId, sendSignal } from "#lab/process-id.ts";
import { waitFor } from "#lab/wait.ts";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import { startProbe } from "./client.ts";
import type { Group, Probe } from "./group.ts";
import { newUserIdentity, type UserIdentity } from "./user-identity.ts";
import type { Target } from "./writer.ts";

const readyTimeoutMs = 60_000;

export interface OurGroupOptions {
  /** The host on which clients run. */
  readonly client: Host;
  readonly signal: AbortSignal;
}

export class OurGroup implements Group {
  readonly name = "ours";
  readonly hosts: readonly Host[];
  readonly #client: Host;
  readonly #user: UserIdentity;

  static async up(hosts: readonly Host[], options: OurGroupOptions): Promise<OurGroup> {
    const [first] = hosts;
    if (first === undefined) throw new Fault("invalid-argument", "there is no host");
    await formCluster(hosts, { signal: options.signal });
    return new OurGroup(hosts, { client: options.client, user: await newUserIdentity(first) });
  }

  /** For `up`. */
  constructor(
    hosts: readonly Host[],
    parts: { readonly client: Host; readonly user: UserIdentity },
  ) {
    this.hosts = hosts;
    this.#client = parts.client;
    this.#user = parts.user;
  }

  /** The leader's address first. */
  async target(signal: AbortSignal): Promise<Target> {
    const leader = await this.leader(signal);
    const others = this.hosts.filter((host) => host !== leader);
    const addresses = [leader, ...others].map(({ address }) => `${address}:2377`);
    return { kind: "ours", addresses, ...this.#user };
  }

  async leader(signal: AbortSignal): Promise<Host> {
    const nodes = await this.#nodes(signal);
    const leader = nodes.find((node) => node.managerStatus?.leader === true);
    const host = this.hosts.find(({ name }) => name === leader?.description?.hostname);
    if (host === undefined) throw new Fault("unavailable", "our managers have no leader");
    return host;
  }

  async kill(host: Host): Promise<number> {
    const swarmd = host.swarmd.process;
    const manager = swarmd && managerOf(swarmd);
    if (swarmd === undefined || manager === undefined) {
      throw new Fault("failed-precondition", `no manager runs on "${host.name}"`);
    }
    const at = Date.now();
    // The manager first: it would notice the end of its parent, and hand over in good order.
    sendSignal(manager, "SIGKILL");
    sendSignal(swarmd, "SIGKILL");
    return at;
  }

  async revive(host: Host, signal: AbortSignal): Promise<void> {
    await waitFor("swarmd to end", () => host.swarmd.process === undefined, { timeoutMs: 5_000 });
    await host.startSwarmd(signal);
    const well = async () => {
      const nodes = await this.#nodes(signal).catch(() => []);
      return nodes.filter(isWell).length === this.hosts.length;
    };
    await waitFor("all managers to be well", well, { timeoutMs: readyTimeoutMs, signal });
  }

  async probe(signal: AbortSignal): Promise<Probe> {
    return startProbe(this.#client, await this.target(signal), signal);
  }

  [Symbol.dispose](): void {}

  /** As the first manager that answers says. */
  async #nodes(signal: AbortSignal): Promise<readonly Node[]> {
    let silence: unknown;
    for (const host of this.hosts) {
      if (host.swarmd.process === undefined) continue;
      using connection = host.connect("manager");
      try {
        const control = connection.service(ControlService);
        return (await control.listNodes({}, { signal })).nodes;
      } catch (thrown) {
        silence = thrown;
      }
    }
    throw Fault.wrap("Cannot ask any manager", silence);
  }
}

/** The manager's process is the child of swarmd that runs Node; the others are containers' monitors. */
export function managerOf(swarmd: ProcessId): ProcessId | undefined {
  const pid = childrenOf(swarmd.pid).find((child) =>
    commandOf(child).some((argument) => argument.endsWith("/manager/main.ts")),
  );
  return pid === undefined ? undefined : identify(pid);
}

function isWell(node: Node): boolean {
  return (
    node.status?.state === NodeState.READY &&
    node.managerStatus?.reachability === Reachability.REACHABLE
  );
}
