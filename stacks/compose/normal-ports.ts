/** `ports` of a service, in their short form or as maps → maps, one for each port. */
import { Fault } from "#proto/fault.ts";
import { PublishMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { parsePublishedPorts, portProtocols } from "../published-ports.ts";
import {
  mapEntries,
  mapNode,
  type Node,
  type Path,
  refusalAt,
  scalarNode,
  textOf,
} from "#proto/yaml/node.ts";
import type { NormalOptions } from "./normal-form.ts";

export function longPorts(node: Node, path: Path, { raw }: NormalOptions): Node {
  if (node.kind !== "list") return node;
  const items = node.items.flatMap((item, index): readonly Node[] => {
    if (item.kind === "map") return [mapEntries(item, publishedNumber)];
    if (raw && textOf(item).includes("$")) return [item];
    try {
      return fromShort(item);
    } catch (thrown) {
      const complaint = `is refused: ${Fault.from(thrown).message}`;
      throw refusalAt(item.place, [...path, String(index)], complaint);
    }
  });
  return { ...node, items };
}

function fromShort(item: Node): readonly Node[] {
  const { place } = item;
  const protocols = Object.entries(portProtocols);
  return parsePublishedPorts(textOf(item)).map((port) => {
    const [protocol = "tcp"] = protocols.find(([, number]) => number === port.protocol) ?? [];
    return mapNode(place, {
      mode: scalarNode(place, port.publishMode === PublishMode.HOST ? "host" : "ingress"),
      target: scalarNode(place, port.targetPort),
      ...(port.publishedPort > 0 && { published: scalarNode(place, port.publishedPort) }),
      protocol: scalarNode(place, protocol),
      ...(port.hostIp !== "" && { host_ip: scalarNode(place, port.hostIp) }),
    });
  });
}

/** Numbers may be in quotes; ranges stay texts. */
function publishedNumber(node: Node, key: string): Node {
  if (key !== "published" || !/^\d+$/.test(textOf(node))) return node;
  return scalarNode(node.place, Number(textOf(node)));
}
