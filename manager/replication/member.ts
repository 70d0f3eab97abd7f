/** What a member's `context` says: whose server it is and where it is reached. */
import { Fault } from "#proto/fault.ts";
import type { Member, Membership } from "../raft/contract.ts";

export interface MemberPlace {
  readonly nodeId: string;
  /** HOST:PORT. */
  readonly address: string;
}

export function contextOf({ nodeId, address }: MemberPlace): string {
  return JSON.stringify({ nodeId, address });
}

export function placeOf(member: Member): MemberPlace {
  const value: unknown = parse(member.context);
  if (typeof value !== "object" || value === null) throw unreadable(member);
  const { nodeId, address } = value as Partial<Record<keyof MemberPlace, unknown>>;
  if (typeof nodeId !== "string" || typeof address !== "string") throw unreadable(member);
  return { nodeId, address };
}

export function memberById(membership: Membership, id: number): Member | undefined {
  return membership.members.find((member) => member.id === id);
}

export function memberOfNode(membership: Membership, nodeId: string): Member | undefined {
  return membership.members.find((member) => placeOf(member).nodeId === nodeId);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unreadable(member: Member): Fault {
  return new Fault("data-loss", `the log does not say whose member ${member.id} is`);
}
