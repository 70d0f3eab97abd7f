/** The published ports that the services of one plan get. Pure; dropped with the plan. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type PortConfig, type PortProtocol, PublishMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { automaticPorts, type PortBook, type PortKey, portKey } from "./port-book.ts";

export interface PortPlan {
  /** All that can be had, with their numbers. */
  readonly ports: readonly PortConfig[];
  /** The rest: which service has the port, or undefined where all automatic ones are in use. */
  readonly refused: readonly { readonly port: PortConfig; readonly holder: string | undefined }[];
}

/** Which service of the plan was the first to have a port, and how. */
interface Chosen {
  readonly service: string;
  readonly mode: PublishMode;
}

export class PortDraft {
  readonly #book: PortBook;
  readonly #chosen = new Map<PortKey, Chosen>();
  /** Protocols with no automatic port left: each of a long list of wishes would search them all again. */
  readonly #exhausted = new Set<PortProtocol>();
  /** What is never given out. */
  readonly #reserved: ReadonlyMap<string, string>;
  #cursor: number;

  constructor(book: PortBook, reserved: ReadonlyMap<string, string>) {
    this.#book = book;
    this.#reserved = reserved;
    this.#cursor = book.cursor;
  }

  plan({ id, spec, endpoint }: Service): PortPlan {
    const asked = spec?.endpoint?.ports ?? [];
    // What the spec says by number is no automatic port, also where it says it further down.
    const said = new Set(asked.map(portKey));
    const had = (endpoint?.ports ?? []).filter(
      (port) => isAutomatic(port) && !said.has(portKey(port)),
    );
    const ports: PortConfig[] = [];
    const refused: PortPlan["refused"][number][] = [];
    for (const wish of asked) {
      const port = wish.publishedPort === 0 ? this.#number(wish, had, said) : wish;
      const holder = port === undefined ? undefined : this.#holderOf(port, id);
      if (port === undefined || holder !== undefined) refused.push({ port: wish, holder });
      else {
        this.#choose(port, id);
        ports.push(port);
      }
    }
    return { ports, refused };
  }

  #choose(port: PortConfig, service: string): void {
    const key = portKey(port);
    if (!this.#chosen.has(key)) this.#chosen.set(key, { service, mode: port.publishMode });
  }

  /** Of mode host, a port may be several services': then none of them has it in mode ingress. */
  #holderOf(port: PortConfig, self: string): string | undefined {
    const chosen = this.#chosen.get(portKey(port));
    const shared = [chosen?.mode, port.publishMode].every((mode) => mode === PublishMode.HOST);
    if (chosen !== undefined && chosen.service !== self && !shared) return chosen.service;
    return this.#book.holderOf(port, self, { asked: false });
  }

  /** The number that the port had, which is taken out of `had`, or else the next free one. */
  #number(wish: PortConfig, had: PortConfig[], said: ReadonlySet<PortKey>): PortConfig | undefined {
    const index = had.findIndex((port) => isSame(port, wish));
    const [kept] = index < 0 ? [] : had.splice(index, 1);
    if (kept !== undefined) return { ...wish, publishedPort: kept.publishedPort };
    if (this.#exhausted.has(wish.protocol)) return undefined;
    const { min, max } = automaticPorts;
    const count = max - min + 1;
    for (let step = 1; step <= count; step++) {
      const publishedPort = min + ((this.#cursor - min + step) % count);
      const port = { ...wish, publishedPort };
      const key = portKey(port);
      if (this.#reserved.has(key) || this.#book.isTaken(key)) continue;
      if (this.#chosen.has(key) || said.has(key)) continue;
      this.#cursor = publishedPort;
      return port;
    }
    this.#exhausted.add(wish.protocol);
    return undefined;
  }
}

function isSame(a: PortConfig, b: PortConfig): boolean {
  return (
    a.targetPort === b.targetPort && a.protocol === b.protocol && a.publishMode === b.publishMode
  );
}

function isAutomatic({ publishedPort }: PortConfig): boolean {
  return publishedPort >= automaticPorts.min && publishedPort <= automaticPorts.max;
}
