/** A user who asks for this and that at a steady pace, whether or not the answer to the last question has come. */
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Client } from "#proto/grpc.ts";

type ControlClient = Client<typeof ControlService>;

/** Between the beginnings of two calls. */
const periodMs = 50;

export class ApiLoad implements AsyncDisposable {
  /** How long each call took. */
  readonly tookMs: number[] = [];
  readonly #control: ControlClient;
  readonly #serviceName: string;
  readonly #stop = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  readonly #pacing: Promise<void>;
  #calls = 0;
  #failure: Fault | undefined;

  /** `serviceName`: of one that there is. */
  constructor(control: ControlClient, serviceName: string) {
    this.#control = control;
    this.#serviceName = serviceName;
    this.#pacing = this.#pace();
  }

  /** Throws what the first call that failed threw. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#pacing;
    await Promise.all(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #pace(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const call = this.#measure().catch((thrown: unknown) => {
        this.#failure ??= Fault.from(thrown);
      });
      this.#underWay.add(call);
      void call.finally(() => this.#underWay.delete(call));
      await sleep(periodMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  async #measure(): Promise<void> {
    const startMs = performance.now();
    await this.#call();
    this.tookMs.push(performance.now() - startMs);
  }

  /** Of four, one writes. */
  async #call(): Promise<unknown> {
    this.#calls += 1;
    const ref = this.#serviceName;
    switch (this.#calls % 4) {
      case 0: {
        const name = `asked-${this.#calls}`;
        const data = Buffer.from(name);
        return this.#control.createConfig({ spec: { annotations: { name }, data } });
      }
      case 1:
        return this.#control.listServices({});
      case 2:
        return this.#control.getService({ ref });
      default:
        return this.#control.getCluster({});
    }
  }
}
