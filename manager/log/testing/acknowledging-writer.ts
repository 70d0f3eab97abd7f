/** A program for tests: writes to the log at argv[2] and prints each acknowledged index, until it is killed. */
import { silentLog } from "#proto/system-ports.ts";
import type { LogEntry } from "../../store/log.ts";
import { SqliteLog } from "../sqlite-log.ts";

const writers = 8;
const path = process.argv[2] ?? "";

/** Text → index. */
const indexes = new Map<string, bigint>();

const machine = {
  apply: ({ index, data }: LogEntry) => {
    indexes.set(Buffer.from(data).toString(), index);
    return undefined;
  },
  snapshot: () => [...indexes].map(([text, index]) => Buffer.from(`${index} ${text}`)),
  restore: (_index: bigint, pieces: Iterable<Uint8Array>) => {
    for (const piece of pieces) {
      const [index = "", text = ""] = Buffer.from(piece).toString().split(" ");
      indexes.set(text, BigInt(index));
    }
  },
};

const log = await SqliteLog.open({ path, snapshotInterval: 50 }, { machine, log: silentLog });
await Promise.all(
  Array.from({ length: writers }, async (_, writer) => {
    for (let count = 0; ; count++) {
      const text = `${process.pid}-${writer}-${count}`;
      await log.propose(Buffer.from(text));
      process.stdout.write(`${indexes.get(text)} ${text}\n`);
    }
  }),
);
