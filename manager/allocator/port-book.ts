/**
 * Which services have which published ports, folded from commits. A port of mode ingress is one service's on every node;
 * of mode host it is the node's matter which tasks share it, but no other service may have it in mode ingress.
 */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type PortConfig, PortProtocol, PublishMode } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Change } from "../store/objects.ts";
import type { View } from "../store/store.ts";

/** Where ports are taken from that nobody has asked for by number, as Swarm's. */
export const automaticPorts = { min: 30_000, max: 32_767 } as const;

/** "8080/tcp" */
export type PortKey = `${number}/${string}`;

const protocolWords: Readonly<Record<PortProtocol, string>> = {
  [PortProtocol.TCP]: "tcp",
  [PortProtocol.UDP]: "udp",
  [PortProtocol.SCTP]: "sctp",
};

export function portKey({ publishedPort, protocol }: PortConfig): PortKey {
  return `${publishedPort}/${protocolWords[protocol]}`;
}

type Claims = Map<PortKey, Set<string>>;

/** Of one mode: ports that services have, and those that their specs ask for. */
interface Mode {
  readonly allocated: Claims;
  readonly asked: Claims;
}

export class PortBook {
  readonly #ingress: Mode = { allocated: new Map(), asked: new Map() };
  readonly #host: Mode = { allocated: new Map(), asked: new Map() };
  /** The automatic port given out last: one just freed is the last to be used again. */
  #cursor: number = automaticPorts.max;

  constructor(view: View) {
    for (const service of view.list("service")) this.#add(service);
  }

  get cursor(): number {
    return this.#cursor;
  }

  /** Says whether ports came free. */
  onChange({ kind, before, after }: Change): boolean {
    if (kind !== "service") return false;
    const had = before === undefined ? [] : this.#remove(before);
    const has = after === undefined ? [] : this.#add(after, had);
    return had.some((key) => !has.includes(key));
  }

  /** The other service that already has the port; with `asked` also one that will have it. */
  holderOf(port: PortConfig, self: string, { asked }: { asked: boolean }): string | undefined {
    const key = portKey(port);
    const modes = port.publishMode === PublishMode.HOST ? [this.#ingress] : this.#modes;
    const claims = modes.flatMap((mode) => (asked ? [mode.allocated, mode.asked] : mode.allocated));
    for (const claim of claims) {
      const other = claim
        .get(key)
        ?.values()
        .find((id) => id !== self);
      if (other !== undefined) return other;
    }
    return undefined;
  }

  /** Whether anybody at all has or asks for it. */
  isTaken(key: PortKey): boolean {
    return this.#modes.some(({ allocated, asked }) => allocated.has(key) || asked.has(key));
  }

  get #modes(): readonly Mode[] {
    return [this.#ingress, this.#host];
  }

  /** `had`: what it had before, which says nothing of what was given out last. */
  #add(service: Service, had: readonly PortKey[] = []): readonly PortKey[] {
    for (const port of numbered(service.spec?.endpoint?.ports)) {
      claim(this.#of(port).asked, portKey(port), service.id);
    }
    const ports = numbered(service.endpoint?.ports);
    for (const port of ports) {
      claim(this.#of(port).allocated, portKey(port), service.id);
      const { publishedPort } = port;
      const automatic = publishedPort >= automaticPorts.min && publishedPort <= automaticPorts.max;
      if (automatic && !had.includes(portKey(port))) this.#cursor = publishedPort;
    }
    return ports.map(portKey);
  }

  #remove(service: Service): readonly PortKey[] {
    for (const port of numbered(service.spec?.endpoint?.ports)) {
      unclaim(this.#of(port).asked, portKey(port), service.id);
    }
    const ports = numbered(service.endpoint?.ports);
    for (const port of ports) unclaim(this.#of(port).allocated, portKey(port), service.id);
    return ports.map(portKey);
  }

  #of({ publishMode }: PortConfig): Mode {
    return publishMode === PublishMode.HOST ? this.#host : this.#ingress;
  }
}

function numbered(ports: readonly PortConfig[] = []): readonly PortConfig[] {
  return ports.filter(({ publishedPort }) => publishedPort !== 0);
}

function claim(claims: Claims, key: PortKey, id: string): void {
  const ids = claims.get(key);
  if (ids === undefined) claims.set(key, new Set([id]));
  else ids.add(id);
}

function unclaim(claims: Claims, key: PortKey, id: string): void {
  const ids = claims.get(key);
  ids?.delete(id);
  if (ids?.size === 0) claims.delete(key);
}
