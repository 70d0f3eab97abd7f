/**
 * Writes without a pause, as somebody does who reaches several managers: to one of them, and while nothing listens there to the
 * next. Counts what a user would have been told, and how long the longest write took.
 */
import type { Host } from "#lab/host.ts";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Connection } from "#proto/grpc.ts";

/** As swarmctl's. */
const deadlineMs = 22_000;

export class SteadyWriter implements AsyncDisposable {
  readonly name: string;
  /** What went wrong, in the words that a user reads. */
  readonly faults: string[] = [];
  written = 0;
  longestMs = 0;
  readonly #hosts: readonly Host[];
  readonly #connections = new Map<Host, Connection>();
  readonly #done: Promise<void>;
  #ended = false;

  /** `hosts`: with managers, the one that is written to at the front. `run` tells its writes from those of others. */
  constructor(run: string, hosts: readonly Host[]) {
    this.name = `w-${run}-${hosts[0]?.name}`;
    this.#hosts = hosts;
    this.#done = this.#run();
  }

  /** Names of everything that was written. */
  get names(): readonly string[] {
    return Array.from({ length: this.written }, (_, at) => `${this.name}-${at}`);
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#done;
    for (const connection of this.#connections.values()) connection[Symbol.dispose]();
    this.#connections.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  async #run(): Promise<void> {
    while (!this.#ended) {
      const startMs = performance.now();
      await this.#write(`${this.name}-${this.written}`);
      this.longestMs = Math.max(this.longestMs, performance.now() - startMs);
      this.written += 1;
    }
  }

  async #write(name: string): Promise<void> {
    for (let turn = 0; ; turn += 1) {
      const host = this.#hosts[turn % this.#hosts.length];
      if (host === undefined) return;
      try {
        const config = { spec: { annotations: { name }, data: Buffer.from(name) } };
        await this.#control(host).createConfig(config, { deadlineMs });
        return;
      } catch (thrown) {
        const fault = Fault.from(thrown);
        // Nothing listens there: nothing was said to anybody, and another manager is asked.
        const unsaid =
          fault.code === "unavailable" && /ECONNREFUSED|ENOENT|refused/.test(fault.message);
        if (!unsaid) this.faults.push(`${host.name}: ${fault.code}: ${fault.message}`);
        if (fault.code === "already-exists") return;
        this.#connections.get(host)?.[Symbol.dispose]();
        this.#connections.delete(host);
      }
    }
  }

  #control(host: Host) {
    const connection = this.#connections.get(host) ?? host.connect("manager");
    this.#connections.set(host, connection);
    return connection.service(ControlService);
  }
}
