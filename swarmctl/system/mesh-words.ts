/** What a probe between two hosts found, in one sentence that names both, the port, the direction and what to do. Pure. */
import { ProbeResult_Problem as Problem, type ProbeResult } from "#proto/gen/swarm/v1/engine_pb.ts";

/** Of an overlay's packets: whether they arrive at the other side, and if so, whether answers are known to be lost on the way back. */
export type Direction = "closed" | "arrives" | "unanswered";

export interface Ends {
  readonly from: string;
  readonly to: string;
  /** Undefined where it could not be found out. */
  readonly direction: Direction | undefined;
}

export function sentence(result: ProbeResult, ends: Ends): string {
  const { problem, detail, mtu } = result;
  const { from, to } = ends;
  switch (problem) {
    case Problem.SILENCE:
      return result.port.endsWith("udp") ? overlaySilence(result, ends) : tcpSilence(result, ends);
    case Problem.REFUSAL:
      return `${portWords(result)} is refused (${detail}): start swarmd on ${to}, or, where it runs, let the firewalls ${pass(result, ends)}`;
    case Problem.SIZE:
      return `${detail}: lower the MTU of the interfaces of ${from} and ${to} to ${mtu} (ip link set dev INTERFACE mtu ${mtu}), or let the network between them take more`;
    case Problem.LOSS:
      return `${detail}: some packets are lost between ${from} and ${to}; look at the network and at the load of both`;
    default:
      return detail;
  }
}

function tcpSilence(result: ProbeResult, ends: Ends): string {
  return `${portWords(result)} gets no answer: let the firewalls ${pass(result, ends)}`;
}

function overlaySilence(result: ProbeResult, ends: Ends): string {
  const { from, to, direction } = ends;
  switch (direction) {
    case "closed":
      return `${portWords(result)} does not arrive: let the firewalls ${pass(result, ends)}`;
    case "arrives":
      return `${portWords(result)} arrives; the answers do not: see ${to} to ${from}`;
    case "unanswered":
      return `${portWords(result)} arrives, and echoes are not answered: let the firewalls of ${from} and ${to} pass ICMPv6 on links sw-vx+`;
    default:
      return `${portWords(result)} brings no answer: let the firewalls ${pass(result, ends)}, and the other way`;
  }
}

/** "4789/udp from 192.0.2.1 to 192.0.2.2". */
function portWords({ port, source, destination }: ProbeResult): string {
  return `${port} from ${source} to ${destination}`;
}

function pass({ port, source, destination }: ProbeResult, { from, to }: Ends): string {
  return `of ${from} and ${to} and between them pass ${port} from ${source} to ${destination}`;
}
