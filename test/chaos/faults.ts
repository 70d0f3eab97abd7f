/**
 * What is done to the managers, drawn from a seed. At most a minority is out at a time: killed, without power, cut off or
 * stopped; but for faults that hit a majority, which come when nobody is out. Each manager is restored after a while, and is
 * out until it is a ready node and reachable for the leader again; the next fault waits for that only where it must.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { managerOf } from "#bench/raft/ours-group.ts";
import type { Host } from "#lab/host.ts";
import { type ProcessId, sendSignal } from "#lab/process-id.ts";
import { together } from "#lab/together.ts";
import { waitFor } from "#lab/wait.ts";
import { Fault } from "#proto/fault.ts";
import type { SeededRandom } from "#sim/random.ts";
import type { ChaosCluster, ClusterState } from "./cluster.ts";

const outMax = 2;

const restoreMsMax = 4_000;
/** After a fault, before the next. */
const pauseMsMax = 1_500;
const leaderTimeoutMs = 20_000;
const wellTimeoutMs = 40_000;
/** A node may be found down so long after it came back: its agent has yet to open a session. */
const returnMs = 5_000;

/** Who is hurt, and whether the node on the host, which is what swarmd is, is hurt with it. */
const kinds = {
  "kill -9 of the leader": { leader: true, others: 0, node: true },
  "kill -9 of a majority with the leader": { leader: true, others: 2, node: true },
  "power loss of the leader": { leader: true, others: 0, node: true },
  "power loss": { leader: false, others: 1, node: true },
  "cut of the leader": { leader: true, others: 0, node: true },
  "cut of a minority with the leader": { leader: true, others: 1, node: true },
  "cut of one manager": { leader: false, others: 1, node: true },
  "SIGSTOP of the leader": { leader: true, others: 0, node: false },
  "SIGSTOP of one manager": { leader: false, others: 1, node: false },
  "restart of the leader's swarmd": { leader: true, others: 0, node: true },
  "restart of swarmd": { leader: false, others: 1, node: true },
} as const;

export type FaultKind = keyof typeof kinds;

export const leaderKill = "kill -9 of the leader" satisfies FaultKind;

export interface Injected {
  readonly kind: FaultKind;
  readonly hosts: readonly string[];
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** When all of the hosts were well again. */
  wellAtMs: number | undefined;
}

interface Hurt {
  /** From when on they were, ms since 1970. */
  readonly atMs: number;
  readonly restore: () => Promise<void>;
}

export class Faults {
  readonly injected: Injected[] = [];
  readonly #cluster: ChaosCluster;
  readonly #random: SeededRandom;
  readonly #onFault: (fault: Injected) => void;
  readonly #out = new Set<Host>();
  readonly #restoring = new Set<Promise<void>>();
  /** Partitions are made and undone one after the other: each change tidies up after all. */
  #lan: Promise<unknown> = Promise.resolve();
  #failure: Fault | undefined;

  constructor(
    cluster: ChaosCluster,
    random: SeededRandom,
    onFault: (fault: Injected) => void = () => {},
  ) {
    this.#cluster = cluster;
    this.#random = random;
    this.#onFault = onFault;
  }

  /**
   * Resolves when that much time and that many kills of leaders are over, and all are well again. The time is enough for
   * every kind; where the machine is too slow for that, only what is left of the kills comes after it.
   */
  async run(durationMs: number, killsMin: number): Promise<void> {
    const endMs = performance.now() + durationMs;
    const plan = this.#plan(killsMin);
    for (;;) {
      const inTime = performance.now() < endMs;
      const enough = this.#killCount >= killsMin;
      if (!inTime && enough) break;
      await this.#inject(inTime ? (plan.shift() ?? leaderKill) : leaderKill);
      await sleep(this.#random.between(0, pauseMsMax));
    }
    await Promise.all(this.#restoring);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Whether the host's node was hurt at this moment (ms since 1970), or had just come back. */
  excuses(host: string, ms: number): boolean {
    return this.injected.some(
      ({ kind, hosts, atMs, wellAtMs = ms }) =>
        kinds[kind].node && hosts.includes(host) && atMs <= ms && ms <= wellAtMs + returnMs,
    );
  }

  get #killCount(): number {
    return this.injected.filter(({ kind }) => kind === leaderKill).length;
  }

  #plan(kills: number): FaultKind[] {
    const others = (Object.keys(kinds) as FaultKind[]).filter((kind) => kind !== leaderKill);
    const plan = Array.from({ length: kills }, (): FaultKind => leaderKill);
    return this.#random.shuffled([...plan, ...others, ...others]);
  }

  async #inject(kind: FaultKind): Promise<void> {
    const { leader, others } = kinds[kind];
    const count = (leader ? 1 : 0) + others;
    const room = () =>
      this.#failure !== undefined || this.#out.size + count <= Math.max(count, outMax);
    await waitFor("managers to come back", room, { timeoutMs: wellTimeoutMs });
    if (this.#failure !== undefined) throw this.#failure;
    const leads = await this.#leader();
    const followers = this.#cluster.managers.filter(
      (host) => host !== leads && !this.#out.has(host),
    );
    const drawn = this.#random.shuffled(followers).slice(0, others);
    const [victim, ...rest] = leader ? [leads, ...drawn] : drawn;
    if (victim === undefined) throw new Fault("internal", "there is nobody to hurt");
    const victims = [victim, ...rest] as const;
    for (const victim of victims) this.#out.add(victim);
    const hosts = victims.map(({ name }) => name);
    const { atMs, restore } = await this.#hurt(kind, victims);
    const injected: Injected = { kind, hosts, atMs, wellAtMs: undefined };
    this.injected.push(injected);
    this.#onFault(injected);
    const restoring = this.#restore(victims, restore).then(
      () => {
        injected.wellAtMs = Date.now();
        for (const victim of victims) this.#out.delete(victim);
      },
      (thrown: unknown) => {
        this.#failure ??= Fault.wrap(`Cannot restore ${hosts.join(", ")} after ${kind}`, thrown);
      },
    );
    this.#restoring.add(restoring);
    void restoring.finally(() => this.#restoring.delete(restoring));
  }

  async #hurt(kind: FaultKind, victims: readonly [Host, ...Host[]]): Promise<Hurt> {
    const { lab } = this.#cluster;
    const [victim] = victims;
    const names = victims.map(({ name }) => name);
    const atMs = Date.now();
    switch (kind) {
      case "kill -9 of the leader":
      case "kill -9 of a majority with the leader":
        for (const host of victims) crash(host);
        return { atMs, restore: () => together(victims.map((host) => () => startAgain(host))) };
      case "power loss of the leader":
      case "power loss":
        await victim.kill();
        return { atMs, restore: () => victim.start() };
      case "cut of the leader":
      case "cut of a minority with the leader":
      case "cut of one manager":
        await this.#onLan(() => lab.cut(...names));
        return { atMs: Date.now(), restore: () => this.#onLan(() => lab.heal(...names)) };
      case "SIGSTOP of the leader":
      case "SIGSTOP of one manager": {
        const { manager } = processesOf(victim);
        sendSignal(manager, "SIGSTOP");
        return { atMs, restore: async () => sendSignal(manager, "SIGCONT") };
      }
      case "restart of the leader's swarmd":
      case "restart of swarmd":
        await victim.swarmd.stop();
        return { atMs, restore: () => startAgain(victim) };
    }
  }

  async #restore(victims: readonly Host[], restore: () => Promise<void>): Promise<void> {
    await sleep(this.#random.between(0, restoreMsMax));
    await restore();
    const back: (state: ClusterState) => boolean = ({ well }) => victims.every((v) => well.has(v));
    await this.#cluster.until("them to be well", back, wellTimeoutMs);
  }

  /** A leader that is not out. */
  async #leader(): Promise<Host> {
    const notOut = ({ leader }: ClusterState) => leader && !this.#out.has(leader) && leader;
    return await this.#cluster.until("a leader", notOut, leaderTimeoutMs);
  }

  #onLan(change: () => Promise<void>): Promise<void> {
    const changed = this.#lan.then(change);
    this.#lan = changed.catch(() => undefined);
    return changed;
  }
}

/** The manager first: it would notice the end of its parent, and hand over in good order. */
function crash(host: Host): void {
  const { manager, swarmd } = processesOf(host);
  for (const process of [manager, swarmd]) sendSignal(process, "SIGKILL");
}

function processesOf(host: Host): { readonly manager: ProcessId; readonly swarmd: ProcessId } {
  const swarmd = host.swarmd.process;
  const manager = swarmd && managerOf(swarmd);
  if (swarmd !== undefined && manager !== undefined) return { manager, swarmd };
  throw new Fault("failed-precondition", `no manager runs on ${host.name}`);
}

async function startAgain(host: Host): Promise<void> {
  await waitFor("swarmd to end", () => host.swarmd.process === undefined, { timeoutMs: 5_000 });
  await host.startSwarmd();
}
