/** The managers of a Docker Swarm as a group of the benchmark: how long they are without a leader. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "#lab/host.ts";
import { Fault } from "#proto/fault.ts";
import type { Group, Probe } from "../raft/group.ts";
import type { DockerSwarm } from "./docker-swarm.ts";

const probePauseMs = 10;
const probeTimeoutMs = 60_000;

export class SwarmGroup implements Group {
  readonly name = "swarm";
  readonly #swarm: DockerSwarm;
  #writes = 0;

  constructor(swarm: DockerSwarm) {
    this.#swarm = swarm;
  }

  get hosts(): readonly Host[] {
    return this.#swarm.hosts;
  }

  leader(signal: AbortSignal): Promise<Host> {
    return this.#swarm.leader(signal);
  }

  kill(host: Host): Promise<number> {
    return this.#swarm.killEngine(host);
  }

  revive(host: Host, signal: AbortSignal): Promise<void> {
    return this.#swarm.restartEngine(host, signal);
  }

  async probe(signal: AbortSignal): Promise<Probe> {
    return { next: (afterMs) => this.#firstWrite(afterMs, signal), [Symbol.dispose]: () => {} };
  }

  [Symbol.dispose](): void {
    this.#swarm[Symbol.dispose]();
  }

  /** Writes to every manager again and again, as clients of the other groups do, until one succeeds. */
  async #firstWrite(afterMs: number, signal: AbortSignal): Promise<number> {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal, AbortSignal.timeout(probeTimeoutMs)]);
    const loop = async (host: Host): Promise<number> => {
      for (;;) {
        const startedAtMs = Date.now();
        this.#writes += 1;
        const name = `probe-${startedAtMs}-${this.#writes}`;
        const succeeded = await this.#swarm.createConfig(host, name, either).then(
          () => true,
          () => false,
        );
        if (succeeded && startedAtMs > afterMs) return Date.now();
        if (either.aborted) throw Fault.from(either.reason);
        await sleep(probePauseMs);
      }
    };
    try {
      return await Promise.any(this.hosts.map(loop));
    } finally {
      over.abort(new Fault("canceled", "another manager has answered"));
    }
  }
}
