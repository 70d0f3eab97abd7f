/**
 * The files of testdata/ are conversations: commands, a line of dashes, and what the servers did and said. Set
 * REWRITE_CONVERSATIONS=1 to write down anew what they do; commit the difference only if you understand it.
 *
 *   servers N [ID=TERMS…]     begins anew; a server may begin with a log of such terms (1=1,1,2)
 *   join ID                   starts a server that knows of nobody
 *   wake ID                   lets time pass until the server's next wake, and wakes it
 *   pass MS                   lets time pass; nobody wakes
 *   deliver | settle          delivers what waits, once or until nobody says anything more
 *   drop FROM TO              loses what waits on that way
 *   slow ID | finish ID       lets the server's writes wait; finishes them
 *   propose ID WORD… | read ID REQUEST | transfer ID [TO] | snapshot ID INDEX | step-down ID
 *   add ID SERVER | promote ID SERVER | remove ID SERVER | disconnected ID SERVER
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { env } from "node:process";
import { test } from "node:test";
import { Group, voters } from "./testing/group.ts";
import { eventWords, outputWords } from "./testing/words.ts";
import type { Event, MembershipChange, Message } from "./contract.ts";

const folder = new URL("testdata/", import.meta.url);
const dashes = "----";

class Conversation {
  #group = new Group([]);
  #lines: string[] = [];

  run(command: string): string {
    this.#lines = [];
    const [verb = "", ...words] = command.split(" ");
    this.#perform(verb, words);
    return this.#lines.join("\n");
  }

  #begin(count: number, logs: readonly string[]): void {
    const ids = Array.from({ length: count }, (_, at) => at + 1);
    const terms = new Map(
      logs.map((log) => {
        const [id = "", list = ""] = log.split("=");
        return [Number(id), list.split(",").map(Number)];
      }),
    );
    const term = Math.max(0, ...[...terms.values()].flat());
    this.#group = new Group([], { options: { trailingEntries: 1 } });
    for (const id of ids) {
      this.#group.start(id, voters(...ids), { term, terms: terms.get(id) ?? [] });
    }
    this.#group.observe = (id, event, output) => {
      const lines = outputWords(output).map((line) => `  ${line}`);
      this.#lines.push(`${id}: ${eventWords(event)}`, ...lines);
    };
  }

  #perform(verb: string, words: readonly string[]): void {
    const group = this.#group;
    const [id = 0, other = 0] = words.map(Number);
    const step = (event: Event): unknown => group.step(id, event);
    const change = (kind: "promote" | "remove"): unknown => {
      const wanted: MembershipChange = { kind, id: other };
      return step({ kind: "change", request: other, change: wanted });
    };
    const verbs: Readonly<Record<string, () => unknown>> = {
      servers: () => this.#begin(id, words.slice(1)),
      join: () => group.start(id, []),
      wake: () => {
        group.nowMs = Math.max(group.nowMs, group.server(id).wakeAtMs);
        return step({ kind: "wake" });
      },
      pass: () => {
        group.nowMs += id;
      },
      deliver: () => group.deliver(),
      settle: () => group.settle(),
      drop: () => group.drop((message: Message) => message.from === id && message.to === other),
      slow: () => group.slowDisks.add(id),
      finish: () => {
        group.slowDisks.delete(id);
        group.finishWrites(id);
      },
      propose: () => group.propose(id, ...words.slice(1)),
      read: () => step({ kind: "read", request: other }),
      transfer: () => step({ kind: "transfer", to: words[1] === undefined ? undefined : other }),
      snapshot: () => step({ kind: "snapshotted", index: other }),
      "step-down": () => step({ kind: "step-down" }),
      add: () => {
        const context = `host${other}`;
        const added: MembershipChange = { kind: "add-learner", id: other, context };
        return step({ kind: "change", request: other, change: added });
      },
      promote: () => change("promote"),
      remove: () => change("remove"),
      disconnected: () => step({ kind: "disconnected", server: other }),
    };
    const perform = verbs[verb];
    if (perform === undefined) throw new Error(`A conversation has no command "${verb}"`);
    perform();
  }
}

/** Blocks of a command, dashes and a trace, apart by empty lines; lines that begin with # explain. */
function rerun(recorded: string): string {
  const conversation = new Conversation();
  const blocks = recorded.trimEnd().split("\n\n");
  return `${blocks
    .map((block) => {
      const lines = block.split("\n");
      const to = lines.indexOf(dashes);
      const kept = to === -1 ? lines : lines.slice(0, to);
      const commands = kept.filter((line) => !line.startsWith("#"));
      if (commands.length === 0) return kept.join("\n");
      const traces = commands.map((command) => conversation.run(command));
      return [...kept, dashes, ...traces.filter((trace) => trace !== "")].join("\n");
    })
    .join("\n\n")}\n`;
}

const names = readdirSync(folder).filter((name) => name.endsWith(".txt"));
assert.ok(names.length > 0, "There are no conversations to test");
for (const name of names) {
  test(`raft, the conversation ${name} goes as written`, () => {
    const file = new URL(name, folder);
    const recorded = readFileSync(file, "utf8");
    const actual = rerun(recorded);
    if (env["REWRITE_CONVERSATIONS"] === "1") writeFileSync(file, actual);
    else assert.equal(actual, recorded);
  });
}
