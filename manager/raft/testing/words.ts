/** What servers do and say, in words short enough for a test to be read as a conversation. */
import type { Entry, Event, Message, Output, Persist } from "../contract.ts";

const text = new TextDecoder();

function entryWords(entry: Entry): string {
  const place = `${entry.index}:${entry.term}`;
  switch (entry.kind) {
    case "term-start":
      return `${place} start`;
    case "data":
      return `${place} "${text.decode(entry.data)}"`;
    case "membership": {
      const { members } = entry.membership;
      return `${place} members ${members.map(({ id, voter }) => (voter ? `${id}` : `(${id})`)).join(" ")}`;
    }
  }
}

function entriesWords(entries: readonly Entry[]): string {
  return `[${entries.map(entryWords).join(", ")}]`;
}

export function messageWords(message: Message): string {
  const head = `${message.from}→${message.to} term ${message.term} ${message.kind}`;
  switch (message.kind) {
    case "vote": {
      const { pre, transfer, lastIndex, lastTerm } = message;
      return `${head}${pre ? " pre" : ""}${transfer ? " transfer" : ""} log ${lastIndex}:${lastTerm}`;
    }
    case "vote-reply":
      return `${head}${message.pre ? " pre" : ""} ${message.granted ? "yes" : "no"}`;
    case "append": {
      const { prevIndex, prevTerm, entries, commit, round } = message;
      return `${head} after ${prevIndex}:${prevTerm} ${entriesWords(entries)} commit ${commit} round ${round}`;
    }
    case "append-reply": {
      const { success, index, hintTerm, round } = message;
      return `${head} ${success ? `has ${index}` : `differs, try ${index}:${hintTerm}`} round ${round}`;
    }
    case "snapshot-chunk":
      return `${head} ${message.meta.index}:${message.meta.term} chunk ${message.chunk}`;
    case "snapshot-reply": {
      const { index, nextChunk, installed } = message;
      return `${head} ${index} ${installed ? "installed" : `next chunk ${nextChunk}`}`;
    }
    case "timeout-now":
      return head;
  }
}

function persistWords({ number, chunk, install, hardState, entries }: Persist): string {
  const parts: string[] = [];
  if (chunk !== undefined) parts.push(`chunk ${chunk.chunk} of ${chunk.meta.index}`);
  if (install !== undefined) parts.push(`install ${install.index}:${install.term}`);
  if (hardState !== undefined) {
    parts.push(`term ${hardState.term} vote ${hardState.votedFor ?? "none"}`);
  }
  if (entries.length > 0) parts.push(entriesWords(entries));
  return `write ${number}: ${parts.join(", ")}`;
}

export function eventWords(event: Event): string {
  switch (event.kind) {
    case "message":
      return messageWords(event.message);
    case "persisted":
      return `write ${event.number} is durable`;
    case "propose":
      return `propose ${event.proposals.map(({ data }) => `"${text.decode(data)}"`).join(" ")}`;
    case "read":
      return `read ${event.request}`;
    case "change":
      return `${event.change.kind} ${event.change.id}`;
    case "transfer":
      return `transfer to ${event.to ?? "anyone"}`;
    case "snapshotted":
      return `snapshot ${event.index}`;
    case "disconnected":
      return `${event.server} is disconnected`;
    case "snapshot-gone":
      return `snapshot for ${event.to} is gone`;
    case "wake":
    case "step-down":
      return event.kind;
  }
}

export function outputWords(output: Output): readonly string[] {
  const lines: string[] = [];
  const { standing, persist } = output;
  if (standing !== undefined) {
    const { role, term, leader } = standing;
    lines.push(`${role} in term ${term}, leader ${leader ?? "unknown"}`);
  }
  if (persist !== undefined) lines.push(persistWords(persist));
  for (const message of output.send) lines.push(`says ${messageWords(message)}`);
  if (output.apply.length > 0) lines.push(`applies ${entriesWords(output.apply)}`);
  for (const { request, term, index } of output.accepted) {
    lines.push(`accepts request ${request} as ${index}:${term}`);
  }
  for (const { request, why } of output.refused) lines.push(`refuses request ${request}: ${why}`);
  for (const { request, index } of output.reads) lines.push(`read ${request} at ${index}`);
  return lines;
}
