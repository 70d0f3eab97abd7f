/** What a server says to others must be on its disk as it says it, for it may have forgotten everything else the next moment. */
import type { Message } from "#manager/raft/types.ts";
import type { Life } from "./checks.ts";
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
      // Of an older term it was held back while the log went on; it is true of that term as if it had been sent then.
      if (message.term === life.core.standing.term) checkAgreed(life, message.index, say);
      return;
    case "snapshot-reply":
      if (message.installed && disk.snapshot.meta.index < message.index) say("the snapshot");
      return;
    case "timeout-now":
      return;
  }
}

/** "Up to here it is durable" of a log that is the core's own. */
function checkAgreed(life: Life, index: number, say: (missing: string) => never): void {
  const { disk, log } = life;
  const term = log.termAt(index);
  if (index > 0 && (disk.lastIndex < index || (term !== undefined && !disk.holds(index, term)))) {
    say(`entry ${index}`);
  }
}
