/**
 * A program for tests: opens the log at argv[2] with the way of wrapping its key that argv[3] numbers, then goes from each
 * way to the next, round and round, and prints the number of the one that holds, until it is killed. The ways come on stdin.
 */
import { text } from "node:stream/consumers";
import { type KeyEncryption, openStorage } from "../raft-storage.ts";
import { ports } from "./storage-fixture.ts";

const path = process.argv[2] ?? "";
const ways = JSON.parse(await text(process.stdin)) as readonly KeyEncryption[];

let current = Number(process.argv[3]);

function way(): KeyEncryption {
  return ways[current] ?? { kind: "file" };
}

const storage = await openStorage({ path, keyEncryption: way() }, ports);
for (;;) {
  current = (current + 1) % ways.length;
  await storage.rekey(way());
  process.stdout.write(`${current}\n`);
}
