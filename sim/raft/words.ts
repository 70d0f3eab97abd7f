/** What happens to a server, in words. */
import type { Entry, Event, Membership, Message, Output } from "#manager/raft/contract.ts";

function entryWords(entry: Entry): string {
  const place = `${entry.index}:${entry.term}`;
  if (entry.kind === "data") return place;
  if (entry.kind === "term-start") return `${place} term-start`;
  return `${place} members ${membershipWords(entry.membership)}`;
}

function membershipWords({ members, removed }: Membership): string {
  const present = members.map(({ id, voter }) => (voter ? `${id}` : `(${id})`)).join(" ");
  return `[${present}]${removed.length > 0 ? ` without ${removed.join(" ")}` : ""}`;
}

function entriesWords(entries: readonly Entry[]): string {
  return `{${entries.map(entryWords).join(", ")}}`;
}

function messageWords(message: Message): string {
  const { from, to, term, kind, ...body } = message;
  const details = Object.entries(body).map(([name, value]) => {
    if (name === "entries") return `entries ${entriesWords(value as readonly Entry[])}`;
    if (name === "data") return `${(value as Uint8Array).length} bytes`;
    if (name === "meta") {
      const { index, term } = value as { readonly index: number; readonly term: number };
      return `snapshot ${index}:${term}`;
    }
    return `${name} ${String(value)}`;
  });
  return `${from}→${to} ${kind} term ${term} ${details.join(", ")}`;
}

export function eventWords(event: Event): string {
  switch (event.kind) {
    case "message":
      return `receives ${messageWords(event.message)}`;
    case "propose":
      return `propose ${event.proposals.map(({ request }) => `request ${request}`).join(", ")}`;
    default:
      return JSON.stringify(event).replaceAll(/[{}"]/g, "");
  }
}

export function outputWords(output: Output): string {
  const words: string[] = [];
  const { persist, standing } = output;
  if (standing !== undefined) {
    words.push(
      `is ${standing.role}, term ${standing.term}, leader ${standing.leader ?? "unknown"}`,
    );
  }
  if (persist !== undefined) {
    const parts = [`writes ${persist.number}:`];
    if (persist.hardState !== undefined) {
      parts.push(`term ${persist.hardState.term} vote ${persist.hardState.votedFor ?? "none"}`);
    }
    if (persist.chunk !== undefined) parts.push(`chunk ${persist.chunk.chunk}`);
    if (persist.install !== undefined) parts.push(`install ${persist.install.index}`);
    if (persist.entries.length > 0) parts.push(entriesWords(persist.entries));
    words.push(parts.join(" "));
  }
  for (const message of output.send) words.push(`sends ${messageWords(message)}`);
  if (output.apply.length > 0) words.push(`applies ${entriesWords(output.apply)}`);
  for (const { request, term, index } of output.accepted) {
    words.push(`accepts request ${request} as ${index}:${term}`);
  }
  for (const { request, why } of output.refused) words.push(`refuses request ${request}: ${why}`);
  for (const { request, index } of output.reads) words.push(`read ${request} at ${index}`);
  return words.map((line) => `\n${" ".repeat(23)}${line}`).join("");
}
