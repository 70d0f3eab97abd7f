/**
 * The core's words as they go over the wire. What comes in is foreign: a number that would not be exact, a
 * message without a body or a member without an ID is a Fault. What a message may say beyond that the core checks.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type RaftEntry,
  type RaftMembership,
  type RaftMessage,
  RaftMessageSchema,
  type RaftMembershipSchema,
  type RaftEntrySchema,
  type RaftSnapshotMeta,
} from "#proto/gen/swarm/v1/manager_pb.ts";
import type {
  Entry,
  Membership,
  Message,
  MessageBody,
  ServerId,
  SnapshotMeta,
} from "../raft/contract.ts";
import { contextOf, placeOf } from "./member.ts";

/** What `create` takes, without the finished message. */
type Init = Exclude<MessageInitShape<typeof RaftMessageSchema>, RaftMessage>;

// ---------------------------------------------------------------- out

export function encodeMessage(message: Message): RaftMessage {
  const { from, to, term } = message;
  const body = encodeBody(message);
  return create(RaftMessageSchema, {
    from: BigInt(from),
    to: BigInt(to),
    term: BigInt(term),
    body,
  });
}

export function encodeMembership(
  membership: Membership,
): MessageInitShape<typeof RaftMembershipSchema> {
  return {
    members: membership.members.map((member) => ({
      id: BigInt(member.id),
      voter: member.voter,
      ...placeOf(member),
    })),
    removed: membership.removed.map(BigInt),
  };
}

function encodeBody(body: MessageBody): NonNullable<Init["body"]> {
  switch (body.kind) {
    case "vote": {
      const { pre, lastIndex, lastTerm, transfer } = body;
      const value = { pre, lastIndex: BigInt(lastIndex), lastTerm: BigInt(lastTerm), transfer };
      return { case: "vote", value };
    }
    case "vote-reply":
      return { case: "voteReply", value: { pre: body.pre, granted: body.granted } };
    case "append":
      return {
        case: "append",
        value: {
          prevIndex: BigInt(body.prevIndex),
          prevTerm: BigInt(body.prevTerm),
          entries: body.entries.map(encodeEntry),
          commit: BigInt(body.commit),
          round: BigInt(body.round),
          electionMs: Math.ceil(body.electionMs),
        },
      };
    case "append-reply": {
      const { success, index, hintTerm, round } = body;
      const value = { success, index: BigInt(index), hintTerm: BigInt(hintTerm) };
      return { case: "appendReply", value: { ...value, round: BigInt(round) } };
    }
    case "snapshot-chunk": {
      const { meta, chunk, data, last, round } = body;
      const value = { meta: encodeMeta(meta), chunk, data, last, round: BigInt(round) };
      return { case: "snapshotChunk", value };
    }
    case "snapshot-reply": {
      const { index, nextChunk, installed, round } = body;
      const value = { index: BigInt(index), nextChunk, installed, round: BigInt(round) };
      return { case: "snapshotReply", value };
    }
    case "timeout-now":
      return { case: "timeoutNow", value: {} };
  }
}

function encodeEntry(entry: Entry): MessageInitShape<typeof RaftEntrySchema> {
  const place = { term: BigInt(entry.term), index: BigInt(entry.index) };
  switch (entry.kind) {
    case "term-start":
      return place;
    case "data":
      return { ...place, body: { case: "data", value: entry.data } };
    case "membership":
      return { ...place, body: { case: "membership", value: encodeMembership(entry.membership) } };
  }
}

function encodeMeta(meta: SnapshotMeta) {
  return {
    index: BigInt(meta.index),
    term: BigInt(meta.term),
    membership: encodeMembership(meta.membership),
  };
}

// ---------------------------------------------------------------- in

export function decodeMessage(message: RaftMessage): Message {
  const place = { from: serverId(message.from), to: serverId(message.to) };
  return { ...place, term: integer(message.term, "term"), ...decodeBody(message.body) };
}

export function decodeMembership(membership: RaftMembership | undefined): Membership {
  if (membership === undefined) throw bad("it names no members");
  const removed = membership.removed.map(serverId);
  const members = membership.members.map(({ id, voter, nodeId, address }) => ({
    id: serverId(id),
    voter,
    context: contextOf({ nodeId, address }),
  }));
  const ids = [...removed, ...members.map(({ id }) => id)];
  if (new Set(ids).size !== ids.length) throw bad("a member is named twice");
  return { members, removed };
}

function decodeBody(body: RaftMessage["body"]): MessageBody {
  switch (body.case) {
    case "vote": {
      const { pre, lastIndex, lastTerm, transfer } = body.value;
      const last = {
        lastIndex: integer(lastIndex, "index"),
        lastTerm: integer(lastTerm, "term"),
      };
      return { kind: "vote", pre, ...last, transfer };
    }
    case "voteReply":
      return { kind: "vote-reply", pre: body.value.pre, granted: body.value.granted };
    case "append":
      return {
        kind: "append",
        prevIndex: integer(body.value.prevIndex, "index"),
        prevTerm: integer(body.value.prevTerm, "term"),
        entries: body.value.entries.map(decodeEntry),
        commit: integer(body.value.commit, "index"),
        round: integer(body.value.round, "round"),
        electionMs: body.value.electionMs,
      };
    case "appendReply":
      return {
        kind: "append-reply",
        success: body.value.success,
        index: integer(body.value.index, "index"),
        hintTerm: integer(body.value.hintTerm, "term"),
        round: integer(body.value.round, "round"),
      };
    case "snapshotChunk": {
      const { meta, chunk, data, last, round } = body.value;
      const head = { meta: decodeMeta(meta), chunk, data, last };
      return { kind: "snapshot-chunk", ...head, round: integer(round, "round") };
    }
    case "snapshotReply":
      return {
        kind: "snapshot-reply",
        index: integer(body.value.index, "index"),
        nextChunk: body.value.nextChunk,
        installed: body.value.installed,
        round: integer(body.value.round, "round"),
      };
    case "timeoutNow":
      return { kind: "timeout-now" };
    case undefined:
      throw bad("it says nothing that this manager knows");
  }
}

function decodeEntry({ term, index, body, $unknown = [] }: RaftEntry): Entry {
  const place = { term: integer(term, "term"), index: integer(index, "index") };
  switch (body.case) {
    case "data":
      return { ...place, kind: "data", data: body.value };
    case "membership":
      return { ...place, kind: "membership", membership: decodeMembership(body.value) };
    case undefined:
      if ($unknown.length > 0) throw bad("an entry is of a newer version: install it here");
      return { ...place, kind: "term-start" };
  }
}

function decodeMeta(meta: RaftSnapshotMeta | undefined): SnapshotMeta {
  if (meta === undefined) throw bad("it names no snapshot");
  return {
    index: integer(meta.index, "index"),
    term: integer(meta.term, "term"),
    membership: decodeMembership(meta.membership),
  };
}

export function serverId(value: bigint): ServerId {
  const id = integer(value, "ID");
  if (id === 0) throw bad("a server's ID is 0");
  return id;
}

/** A number of the log, which must be below 2^53 to be exact. */
export function integer(value: bigint, what: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0) throw bad(`the ${what} ${value} is too large`);
  return number;
}

function bad(problem: string): Fault {
  return new Fault("invalid-argument", `the message of another manager is not valid: ${problem}`);
}
