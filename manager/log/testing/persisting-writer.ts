/**
 * A program for tests: persists entries in the log at argv[2], several at a time, with a snapshot every 50, and prints each
 * that is durable as "index/term text", until it is killed.
 */
import { existsSync } from "node:fs";
import type { RaftStorage } from "../raft-storage.ts";
import {
  dataEntries,
  found,
  membership,
  never,
  persistOf,
  piecesOf,
  reopen,
  told,
} from "./storage-fixture.ts";

const writers = 8;
const snapshotInterval = 50;
const trailingEntries = 10;

const path = process.argv[2] ?? "";
const storage: RaftStorage = existsSync(path) ? await reopen(path) : await found(path);
const { snapshot, entries } = storage.durable;
const records = [
  ...(await piecesOf(storage)),
  ...told(entries.filter(({ index }) => index > snapshot.index)),
];
let lastIndex = records.length;

async function keepSnapshots(): Promise<void> {
  for (let index = snapshot.index + snapshotInterval; ; index += snapshotInterval) {
    while (records.length < index) await writeOne();
    const pieces = records.slice(0, index).map((record) => Buffer.from(record));
    await storage.writeSnapshot({ index, term: 1, membership }, pieces, never);
    await storage.dropEntries(index - trailingEntries);
  }
}

async function writeOne(): Promise<void> {
  lastIndex += 1;
  const persisted = dataEntries(lastIndex, [`${process.pid}-${lastIndex}`]);
  await storage.persist(persistOf({ entries: persisted }));
  for (const record of told(persisted)) {
    records.push(record);
    process.stdout.write(`${record}\n`);
  }
}

async function keepWriting(): Promise<void> {
  for (;;) await writeOne();
}

await Promise.all([keepSnapshots(), ...Array.from({ length: writers }, keepWriting)]);
