/** What goes wrong, and is mended some time later. */
import type { Host } from "./host.ts";
import type { SimulatedManager } from "./manager.ts";
import type { World } from "./world.ts";

export class Faults {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  start(): void {
    const { agenda, random, profile } = this.#world;
    agenda.after(random.between(0, 2 * profile.faultEveryMs), () => {
      if (!this.#world.faulty) return;
      this.#strike();
      this.start();
    });
  }

  /** Everything is there again, and goes on being there. */
  async mendAll(): Promise<void> {
    for (const manager of this.#world.managers.values()) await this.#restart(manager);
    this.elect();
    for (const host of this.#world.hosts.values()) {
      host.reconnect();
      host.start();
    }
  }

  /** Somebody leads, where nobody does. */
  elect(): void {
    const { journal, managers, random } = this.#world;
    if (journal.leader !== undefined) return;
    const next = random.pick([...managers.values()].filter(({ isUp }) => isUp));
    if (next !== undefined) journal.lead(next.seat);
  }

  #strike(): void {
    const { random } = this.#world;
    const choice = random.fraction();
    if (choice < 0.2) return this.#loseLeader();
    if (choice < 0.35) return this.#loseManager();
    const host = random.pick([...this.#world.hosts.values()]);
    if (host === undefined) return;
    if (choice < 0.6) return this.#losePower(host);
    if (choice < 0.85) return this.#cutOff(host);
    this.#restartAgent(host);
  }

  /** At any time, or with a proposal under way. */
  #loseLeader(): void {
    const { journal, random } = this.#world;
    if (random.chance(0.5)) return this.#deposeLeader();
    journal.onNextProposal(() => {
      if (this.#world.faulty) this.#deposeLeader();
    });
  }

  #deposeLeader(): void {
    const { journal, marks, agenda, random, trace } = this.#world;
    if (journal.leader === undefined) return;
    trace.add("fault", () => "the leader leads no more");
    marks.add("leaders lost");
    journal.lead(undefined);
    agenda.after(random.between(10, 2_500), () => this.elect());
  }

  #loseManager(): void {
    const { managers, marks, agenda, random, hosts, trace } = this.#world;
    const up = [...managers.values()].filter(({ isUp }) => isUp);
    // A majority stays, or it comes up again.
    const manager = random.pick(up);
    if (manager === undefined || up.length < managers.size) return;
    trace.add("fault", () => `${manager.nodeId} is killed`);
    marks.add("managers lost");
    manager.kill();
    for (const host of hosts.values()) host.onManagerLost(manager.nodeId);
    agenda.after(random.between(10, 2_500), () => this.elect());
    agenda.after(random.between(500, 8_000), () => {
      void this.#restart(manager).then(() => this.elect());
    });
  }

  async #restart(manager: SimulatedManager): Promise<void> {
    if (manager.isUp) return;
    const { managers, random } = this.#world;
    const others = [...managers.values()].filter(({ isUp }) => isUp);
    await manager.start(random.chance(0.7) ? random.pick(others) : undefined);
  }

  #losePower(host: Host): void {
    if (!host.isUp) return;
    const { marks, agenda, random, trace } = this.#world;
    trace.add("fault", () => `${host.nodeId} loses power`);
    marks.add("hosts lost");
    host.cutPower();
    agenda.after(random.between(500, 20_000), () => host.start());
  }

  #cutOff(host: Host): void {
    if (host.isCutOff) return;
    const { marks, agenda, random, trace } = this.#world;
    trace.add("fault", () => `${host.nodeId} is cut off`);
    marks.add("hosts cut off");
    host.cutOff();
    agenda.after(random.between(200, 15_000), () => host.reconnect());
  }

  #restartAgent(host: Host): void {
    if (!host.isUp) return;
    const { marks, agenda, random, trace } = this.#world;
    trace.add("fault", () => `the agent of ${host.nodeId} is started anew`);
    marks.add("agents restarted");
    host.stop();
    agenda.after(random.between(50, 5_000), () => host.start());
  }
}
