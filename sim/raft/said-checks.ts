/** What a server says to others must be on its disk as it says it, for it may have forgotten everything else the next moment. */
import type { Message } from "#manager/raft/contract.ts";
import type { Life } from "./life.ts";
import { Violation } from "./violation.ts";

export function checkSaid(life: Life, message: Message): void {
  const { disk, id } = life;
  const { term, votedFor } = disk.hardState;
  const say = (missing: string): never => {
    throw new Violation(
      "durable before said",
      `server ${id} sends ${message.kind} of term ${message.term} before ${missing} is durable`,
    );
  };
  switch (message.kind) {
    case "vote":
      // A pre-vote speaks of a term that may never be.
      if (message.pre) return;
      if (term < message.term || (term === message.term && votedFor !== id)) say("its vote");
      return;
    case "vote-reply":
      if (message.pre || !message.granted) return;
      if (term < message.term || (term === message.term && votedFor !== message.to))
        say("the vote");
      return;
    case "append":
    case "snapshot-chunk":
      if (term < message.term) say("its term");
      return;
    case "append-reply":
      if (!message.success) return;
      if (term < message.term) say("its term");
      checkAgreed(life, message, say);
      return;
    case "snapshot-reply":
      // It may have come to have all of that as entries.
      if (message.installed) checkAgreed(life, message, say);
      return;
    case "timeout-now":
      return;
  }
}

/** "Up to here it is durable" of a log that is the core's own. */
function checkAgreed(
  { disk, log, core }: Life,
  { index, term }: { readonly index: number; readonly term: number },
  say: (missing: string) => never,
): void {
  // Of an older term it was held back while the log went on; it is as true of that term as if it had been sent then.
  if (index === 0 || term < core.standing.term) return;
  const entryTerm = log.termAt(index);
  if (disk.lastIndex < index || (entryTerm !== undefined && !disk.holds(index, entryTerm))) {
    say(`entry ${index}`);
  }
}
