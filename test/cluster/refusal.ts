/** How commands refuse what is wrong: an exit code, one sentence on stderr, nothing else, and without delay. */
import assert from "node:assert/strict";
import type { Host } from "#lab/host.ts";

/** No refusal may take longer, one that waits for a host that does not answer included. */
const refusalTimeoutMs = 15_000;

export interface Refusal {
  /** 1: it failed; 2: it was called wrongly, which a second line with the way to the help says. */
  readonly status: 1 | 2;
  /** The whole sentence after "PROGRAM: ". */
  readonly says: string | RegExp;
  readonly input?: string;
  /** Longer where managers wait for a leader. */
  readonly timeoutMs?: number;
}

export async function assertRefuses(
  host: Host,
  [program, ...args]: readonly [string, ...string[]],
  { status, says, input = "", timeoutMs = refusalTimeoutMs }: Refusal,
): Promise<void> {
  const outcome = await host.exec(program, args, { input, timeoutMs });
  const [line = "", ...more] = outcome.stderr.trimEnd().split("\n");
  const sentence = line.replace(`${program}: `, "");
  assert.notEqual(sentence, line, `stderr begins with the program's name: ${outcome.stderr}`);
  if (typeof says === "string") assert.equal(sentence, says);
  else assert.match(sentence, says);
  assert.deepEqual(
    more.map((hint) => hint.replace(/^See "swarmctl( [a-z]+)* --help"$/, "hint")),
    status === 2 ? ["hint"] : [],
  );
  assert.deepEqual([outcome.status, outcome.stdout], [status, ""]);
}
