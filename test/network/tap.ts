/** Counts packets at one place of one namespace, exactly: nftables counts where a capture might be late. */
import assert from "node:assert/strict";
import type { RunResult } from "#agent/exec.ts";
import type { Cluster } from "./cluster.ts";
import { taskId } from "./cluster.ts";
import type { Namespace } from "#agent/network/testing/namespace.ts";

type Run = (command: string, args: readonly string[], input?: string) => Promise<RunResult>;

/** Before everything else that may look at a packet. */
const firstOfAll = "priority -500";

export class Tap {
  readonly #run: Run;
  readonly #family: string;

  /** What arrives in a task. */
  static async inTask(cluster: Cluster, name: string, match: string): Promise<Tap> {
    const host = cluster.hostOf(name);
    const run: Run = (command, args, input = "") =>
      host.inTask(taskId(name), command, args, Buffer.from(input));
    return await Tap.#open(run, "inet", `hook prerouting ${firstOfAll}`, [match]);
  }

  /** What comes to the host itself, after all rules of ours. */
  static async inHost(namespace: Namespace, match: string): Promise<Tap> {
    return await Tap.#open(runIn(namespace), "inet", "hook input priority 300", [match]);
  }

  /** What "h1", "cl" or another has sent over the LAN, seen at the other end of its cable. A packet may match several. */
  static async onLan(cluster: Cluster, sender: string, ...matches: string[]): Promise<Tap> {
    const at = `hook ingress device "${sender}" ${firstOfAll}`;
    return await Tap.#open(runIn(cluster.lan.router), "netdev", at, matches);
  }

  static async #open(
    run: Run,
    family: string,
    hook: string,
    matches: readonly string[],
  ): Promise<Tap> {
    const rules = matches.map((match) => `${match} counter`).join("; ");
    const table = `table ${family} tap\ndelete table ${family} tap\ntable ${family} tap { chain tap { type filter ${hook}; ${rules}; }; }\n`;
    await run("nft", ["-f", "-"], table);
    return new Tap(run, family);
  }

  /** For the functions above. */
  constructor(run: Run, family: string) {
    this.#run = run;
    this.#family = family;
  }

  async count(): Promise<number> {
    const { stdout } = await this.#run("nft", ["list", "table", this.#family, "tap"]);
    const counts = [...stdout.matchAll(/packets (\d+)/g)].map(([, packets]) => Number(packets));
    assert(counts.length > 0, stdout);
    return counts.reduce((sum, packets) => sum + packets, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#run("nft", ["delete", "table", this.#family, "tap"]);
  }
}

function runIn(namespace: Namespace): Run {
  return (command, args, input = "") => namespace.run(command, args, { input });
}
