/** `system check --mesh`: whether every node reaches every other, and which direction of an overlay's way is closed. */
import { Fault } from "#proto/fault.ts";
import {
  NetworkService,
  ProbeResult_Problem as Problem,
  type ProbeResult,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Context } from "../context.ts";
import { NodeFault, type NodeFlag, nodeName, nodesMeant, settleNodes } from "../node-call.ts";
import { type Direction, sentence } from "./mesh-words.ts";

export interface MeshRow {
  readonly from: string;
  readonly to: string;
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
}

interface Probe {
  readonly from: Node;
  readonly to: Node;
  readonly result: ProbeResult;
}

interface Way {
  readonly from: Node;
  readonly to: Node;
  /** "overlay", "encrypted overlay" */
  readonly what: string;
}

/** Of the probes of one node, which go one peer after the other. */
const deadlineMs = 5 * 60_000;

/** Each takes seconds, one after the other, as they would count each other's packets. */
const diagnosesMax = 50;

/** Of the echoes of a probe: few, so that a lossy way is not called closed. */
const arrivalsMin = 3n;

/** Encrypted links greet each other every five seconds, and a probe takes three. */
const triesEncrypted = 3;

export async function checkMesh(context: Context, flag: NodeFlag): Promise<readonly MeshRow[]> {
  const nodes = await nodesMeant(context, {});
  if (nodes.length < 2) {
    throw new Fault("failed-precondition", "There is no mesh to check: there is one node");
  }
  const mesh = new Mesh(context);
  const answers = await settleNodes(await nodesMeant(context, flag), async (from) => {
    const probes: Probe[] = [];
    for (const to of nodes.filter(({ id }) => id !== from.id)) {
      probes.push(...(await mesh.probe(from, to)));
    }
    return probes;
  });
  const mute = answers.filter((answer) => answer instanceof NodeFault);
  const probes = answers.flatMap((one) => (one instanceof NodeFault ? [] : one.answer));
  const directions = await mesh.directions(probes);
  return [
    ...probes.map((probe) => rowOf(probe, directions.get(probe))),
    ...mute.map(({ node, fault }) => ({
      from: nodeName(node),
      to: "-",
      what: "answers",
      ok: false,
      detail: `${fault.message}; what it reaches is not known: run "swarmctl cluster info" there`,
    })),
  ];
}

function rowOf({ from, to, result }: Probe, direction: Direction | undefined): MeshRow {
  const names = { from: nodeName(from), to: nodeName(to) };
  const ok = result.ok || direction === "arrives";
  return { ...names, what: result.what, ok, detail: sentence(result, { ...names, direction }) };
}

class Mesh {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async probe(from: Node, to: Node, tcpAddresses = portsOf(to)): Promise<Probe[]> {
    const client = await this.#client(from);
    const request = { nodeId: to.id, tcpAddresses };
    const { results } = await client.probeNode(request, { deadlineMs });
    return results.map((result) => ({ from, to, result }));
  }

  /** An echo that fails says nothing of its direction: whether it arrives, the other side tells. */
  async directions(probes: readonly Probe[]): Promise<ReadonlyMap<Probe, Direction>> {
    const silent = probes.filter(({ result }) => {
      return result.problem === Problem.SILENCE && result.what.endsWith("overlay");
    });
    const known = new Map<string, Promise<boolean | undefined>>();
    const arrives = async (way: Way) => {
      const key = `${way.from.id} ${way.to.id} ${way.what}`;
      const answer = known.get(key) ?? this.#arrives(way).catch(() => undefined);
      known.set(key, answer);
      return await answer;
    };
    const directions = new Map<Probe, Direction>();
    for (const probe of silent.slice(0, diagnosesMax)) {
      const { from, to } = probe;
      const { what } = probe.result;
      const there = await arrives({ from, to, what });
      const back = await arrives({ from: to, to: from, what });
      const direction = directionOf(there, back);
      if (direction !== undefined) directions.set(probe, direction);
    }
    return directions;
  }

  /** Undefined where nobody counts. */
  async #arrives({ from, to, what }: Way): Promise<boolean | undefined> {
    const encrypted = what.startsWith("encrypted");
    const before = await this.#arrived(from, to, what);
    if (before === undefined) return undefined;
    for (let tries = encrypted ? triesEncrypted : 1; tries > 0; tries--) {
      await this.probe(from, to, []);
      const after = (await this.#arrived(from, to, what)) ?? before;
      if (after - before >= (encrypted ? 1n : arrivalsMin)) return true;
    }
    return false;
  }

  async #arrived(from: Node, to: Node, what: string): Promise<bigint | undefined> {
    const { arrivals } = await (await this.#client(to)).countArrivals({ nodeId: from.id });
    return arrivals.find((one) => one.what === what)?.count;
  }

  async #client(node: Node): Promise<Client<typeof NetworkService>> {
    return await this.#context.engine(NetworkService, node.id);
  }
}

/** Where packets arrive both ways and yet no echo comes back, neither direction is at fault alone. */
function directionOf(there?: boolean, back?: boolean): Direction | undefined {
  if (there === undefined) return undefined;
  if (!there) return "closed";
  return back === false ? "arrives" : "unanswered";
}

function portsOf({ description, managerStatus }: Node): string[] {
  return [description?.engineAddress, managerStatus?.address].filter(
    (address): address is string => address !== undefined && address !== "",
  );
}
