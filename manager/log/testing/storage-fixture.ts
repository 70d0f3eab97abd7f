/** What the tests of the log's storage share: places on disks, storages, and words for what is persisted. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { TestContext } from "node:test";
import { systemClock } from "#proto/system-ports.ts";
import type { Entry, Membership, Persist, SnapshotMeta } from "../../raft/contract.ts";
import { createStorage, openStorage, type RaftStorage } from "../raft-storage.ts";

export const ports = { clock: systemClock };
export const inFile = { kind: "file" } as const;
export const membership: Membership = {
  members: [{ id: 1, voter: true, context: "first" }],
  removed: [],
};
export const beginning: SnapshotMeta = { index: 0, term: 0, membership };
export const never = new AbortController().signal;

export function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "swarm-log-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** A file system of 1 MiB. */
export function smallDisk(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "swarm-log-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "swarm-log-test", path]);
  t.after(() => {
    execFileSync("umount", [path]);
    rmSync(path, { recursive: true });
  });
  return path;
}

export function found(path: string): Promise<RaftStorage> {
  const life = { group: "group", serverId: 1 };
  return createStorage({ path, keyEncryption: inFile, ...life, snapshot: beginning }, ports);
}

export function reopen(path: string): Promise<RaftStorage> {
  return openStorage({ path, keyEncryption: inFile }, ports);
}

export function sql(path: string, statement: string): unknown[] {
  using database = new DatabaseSync(path);
  return database.prepare(statement).all();
}

export function persistOf(parts: Partial<Persist>): Persist {
  const nothing = { chunk: undefined, install: undefined, hardState: undefined, entries: [] };
  return { number: 1, ...nothing, ...parts };
}

/** Entries from `first` on. */
export function dataEntries(first: number, texts: readonly string[], term = 1): Entry[] {
  return texts.map((text, offset) => ({
    kind: "data",
    index: first + offset,
    term,
    data: Buffer.from(text),
  }));
}

/** "index/term text" of each. */
export function told(entries: readonly Entry[]): string[] {
  return entries.map(({ index, term, ...body }) => {
    const text = body.kind === "data" ? Buffer.from(body.data).toString() : body.kind;
    return `${index}/${term} ${text}`;
  });
}

export async function piecesOf(storage: RaftStorage): Promise<string[]> {
  const pieces: string[] = [];
  for await (const piece of storage.snapshotPieces()) pieces.push(Buffer.from(piece).toString());
  return pieces;
}
