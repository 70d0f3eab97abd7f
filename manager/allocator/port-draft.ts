/** The published ports that the services of one plan get. Pure; dropped with the plan. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { PortConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { automaticPorts, type PortBook, type PortKey, portKey } from "./port-book.ts";

export interface PortPlan {
  /** All that can be had, with their numbers. */
  readonly ports: readonly PortConfig[];
  /** The rest: which service has the port, or undefined where all automatic ones are in use. */
  readonly refused: readonly { readonly port: PortConfig; readonly holder: string | undefined }[];
}

export class PortDraft {
  readonly #book: PortBook;
  readonly #chosen = new Map<PortKey, string>();
  #cursor: number;

  constructor(book: PortBook) {
    this.#book = book;
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
        this.#chosen.set(portKey(port), id);
        ports.push(port);
      }
    }
    return { ports, refused };
  }

  #holderOf(port: PortConfig, self: string): string | undefined {
    const chosenBy = this.#chosen.get(portKey(port));
    if (chosenBy !== undefined && chosenBy !== self) return chosenBy;
    return this.#book.holderOf(port, self, { asked: false });
  }

  /** The number that the port had, which is taken out of `had`, or else the next free one. */
  #number(wish: PortConfig, had: PortConfig[], said: ReadonlySet<PortKey>): PortConfig | undefined {
    const index = had.findIndex((port) => isSame(port, wish));
    const [kept] = index < 0 ? [] : had.splice(index, 1);
    if (kept !== undefined) return { ...wish, publishedPort: kept.publishedPort };
    const { min, max } = automaticPorts;
    const count = max - min + 1;
    for (let step = 1; step <= count; step++) {
      const publishedPort = min + ((this.#cursor - min + step) % count);
      const port = { ...wish, publishedPort };
      const key = portKey(port);
      if (this.#book.isTaken(key) || this.#chosen.has(key) || said.has(key)) continue;
      this.#cursor = publishedPort;
      return port;
    }
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
