/**
 * What every entry of data begins with: which proposal it is, so that its proposer knows its own when it comes out of the
 * log. 20 bytes: format 1, server ID (7 bytes), nonce of the proposer's start (6), sequence (6), all big-endian.
 */
import { Buffer } from "node:buffer";
import { Fault } from "#proto/fault.ts";
import type { ServerId } from "../raft/contract.ts";

const format = 1;
const serverAt = 1;
const nonceAt = 8;
const sequenceAt = 14;
export const envelopeBytes = 20;

/** Nonces and sequences are below this. */
export const nonceLimit = 2 ** 48;

export interface ProposalId {
  readonly server: ServerId;
  /** Chosen at random when the proposer started: its sequence begins anew then. */
  readonly nonce: number;
  /** From 1. */
  readonly sequence: number;
}

export function seal(id: ProposalId, data: Uint8Array): Uint8Array {
  // From Node's pool: memory of its own for each entry is what the garbage collector is slow at.
  const entry = Buffer.allocUnsafe(envelopeBytes + data.length);
  entry.writeUInt8(format);
  // Buffer's numbers have at most 6 bytes.
  entry.writeUInt8(Math.floor(id.server / nonceLimit), serverAt);
  entry.writeUIntBE(id.server % nonceLimit, serverAt + 1, 6);
  entry.writeUIntBE(id.nonce, nonceAt, 6);
  entry.writeUIntBE(id.sequence, sequenceAt, 6);
  entry.set(data, envelopeBytes);
  return entry;
}

/** The data is a view, not a copy. */
export function unseal(entry: Uint8Array): { readonly id: ProposalId; readonly data: Uint8Array } {
  if (entry.length < envelopeBytes || entry[0] !== format) {
    throw new Fault("data-loss", "an entry of the log is not one that this version can read");
  }
  const head = Buffer.from(entry.buffer, entry.byteOffset, envelopeBytes);
  const id = {
    server: head.readUInt8(serverAt) * nonceLimit + head.readUIntBE(serverAt + 1, 6),
    nonce: head.readUIntBE(nonceAt, 6),
    sequence: head.readUIntBE(sequenceAt, 6),
  };
  return { id, data: entry.subarray(envelopeBytes) };
}
