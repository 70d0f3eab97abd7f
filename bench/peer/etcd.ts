/** Three members of etcd on virtual hosts, from the peers' root: settings as they come, with TLS or without. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Daemon } from "#lab/daemon.ts";
import type { Host } from "#lab/host.ts";
import { sendSignal } from "#lab/process-id.ts";
import { waitFor } from "#lab/wait.ts";
import { Fault } from "#proto/fault.ts";
import { startProbe } from "../raft/client.ts";
import type { Group, Probe } from "../raft/group.ts";
import type { Target } from "../raft/writer.ts";

const clientPort = 2379;
const peerPort = 2380;
const readyTimeoutMs = 60_000;
/** Of the peers' root; on the host it is a folder on the real disk, as our managers' is. */
const dataFolder = "/var/lib/docker/etcd";

const enterScript = fileURLToPath(new URL("enter.sh", import.meta.url));

export interface EtcdOptions {
  /** Whether clients and members speak TLS, each member with a certificate that it made for itself. */
  readonly tls: boolean;
  /** The peers' root. */
  readonly root: string;
  /** The host on which clients run. */
  readonly client: Host;
  readonly signal: AbortSignal;
}

export class EtcdGroup implements Group {
  readonly name: "etcd" | "etcd_tls";
  readonly hosts: readonly Host[];
  readonly #root: string;
  readonly #tls: boolean;
  readonly #client: Host;
  readonly #daemons: ReadonlyMap<Host, Daemon>;

  static async up(hosts: readonly Host[], options: EtcdOptions): Promise<EtcdGroup> {
    const group = new EtcdGroup(hosts, options);
    for (const daemon of group.#daemons.values()) await daemon.start();
    await group.#allWell(options.signal);
    return group;
  }

  /** For `up`. */
  constructor(hosts: readonly Host[], options: EtcdOptions) {
    this.hosts = hosts;
    this.name = options.tls ? "etcd_tls" : "etcd";
    this.#root = options.root;
    this.#tls = options.tls;
    this.#client = options.client;
    this.#daemons = new Map(hosts.map((host) => [host, daemonOf(host, hosts, options)]));
  }

  /** The leader's address first. */
  async target(signal: AbortSignal): Promise<Target> {
    const leader = await this.leader(signal);
    const others = this.hosts.filter((host) => host !== leader);
    return { kind: this.name, addresses: [leader, ...others].map(clientAddress) };
  }

  async leader(signal: AbortSignal): Promise<Host> {
    const statuses = await this.#statuses(signal);
    const at = statuses.findIndex(({ member, leader }) => member === leader);
    const host = this.hosts[at];
    if (host === undefined) throw new Fault("unavailable", "etcd has no leader");
    return host;
  }

  async kill(host: Host): Promise<number> {
    const running = this.#daemons.get(host)?.process;
    if (running === undefined) throw new Fault("failed-precondition", `no etcd on "${host.name}"`);
    const at = Date.now();
    sendSignal(running, "SIGKILL");
    return at;
  }

  async revive(host: Host, signal: AbortSignal): Promise<void> {
    const daemon = this.#daemons.get(host);
    await waitFor("etcd to end", () => daemon?.process === undefined, { timeoutMs: 5_000 });
    await daemon?.start();
    await this.#allWell(signal);
  }

  async probe(signal: AbortSignal): Promise<Probe> {
    return startProbe(this.#client, await this.target(signal), signal);
  }

  [Symbol.dispose](): void {}

  async #allWell(signal: AbortSignal): Promise<void> {
    const well = async () => {
      const statuses = await this.#statuses(signal).catch(() => []);
      const [first] = statuses;
      return (
        statuses.length === this.hosts.length &&
        statuses.every(({ leader }) => leader !== "0" && leader === first?.leader)
      );
    };
    await waitFor("all members of etcd to be well", well, { timeoutMs: readyTimeoutMs, signal });
  }

  /** What the members say, in the hosts' order; rejects when one does not answer. */
  async #statuses(signal: AbortSignal): Promise<readonly MemberStatus[]> {
    const urls = this.hosts.map((host) => urlOf(clientAddress(host), this.#tls));
    const flags = [`--endpoints=${urls.join(",")}`, "--write-out=fields"];
    if (this.#tls) flags.push("--insecure-skip-tls-verify");
    const command = ["etcdctl", ...flags, "endpoint", "status"];
    const said = await this.#client.run("sh", [enterScript, this.#root, ...command], { signal });
    const values = (name: string) =>
      [...said.matchAll(new RegExp(`^"${name}" : (\\d+)$`, "gm"))].map(([, value = ""]) => value);
    const leaders = values("Leader");
    return values("MemberID").map((member, at) => ({ member, leader: leaders[at] ?? "0" }));
  }
}

interface MemberStatus {
  readonly member: string;
  /** "0": it knows none. */
  readonly leader: string;
}

function clientAddress(host: Host): string {
  return `${host.address}:${clientPort}`;
}

function urlOf(address: string, tls: boolean): string {
  return `${tls ? "https" : "http"}://${address}`;
}

function daemonOf(
  host: Host,
  hosts: readonly Host[],
  { root, tls }: Pick<EtcdOptions, "root" | "tls">,
): Daemon {
  const peerUrl = ({ address }: Host) => urlOf(`${address}:${peerPort}`, tls);
  const clientUrl = urlOf(clientAddress(host), tls);
  const flags = {
    "--name": host.name,
    "--data-dir": dataFolder,
    "--listen-peer-urls": peerUrl(host),
    "--initial-advertise-peer-urls": peerUrl(host),
    "--listen-client-urls": clientUrl,
    "--advertise-client-urls": clientUrl,
    "--initial-cluster": hosts.map((each) => `${each.name}=${peerUrl(each)}`).join(","),
  };
  const tlsFlags = tls ? ["--auto-tls", "--peer-auto-tls"] : [];
  return new Daemon(host.box, {
    name: "etcd",
    argv: ["sh", enterScript, root, "etcd", ...Object.entries(flags).flat(), ...tlsFlags],
    logPath: join(host.box.folder, "etcd.log"),
  });
}
