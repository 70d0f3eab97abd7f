/** Lets the network's packets through Docker's chain for others' rules, for as long as this host is in a cluster. */
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";
import { type DockerTable, readForeignRules, removalLines } from "./foreign-rules.ts";

export class DockerPermit {
  readonly #exec: Exec;
  readonly #log: Log;

  constructor({ exec, log }: { readonly exec: Exec; readonly log: Log }) {
    this.#exec = exec;
    this.#log = log;
  }

  /** `ruleset` is what stands. Says what else may stand in the way. */
  async apply(ruleset: string): Promise<readonly string[]> {
    const { docker, obstacles } = readForeignRules(ruleset);
    for (const table of docker) {
      await this.#tryTo("let the network through Docker's rules", () => this.#restore(table));
    }
    return obstacles;
  }

  async cleanup(ruleset: string): Promise<void> {
    for (const program of ["iptables", "ip6tables"] as const) {
      const family = program === "iptables" ? "ip" : "ip6";
      if (!hasDockerChain(ruleset, family)) continue;
      await this.#tryTo("take the network's rules out of Docker's", async () => {
        const { stdout } = await this.#exec.run(program, ["-w", "-S", "DOCKER-USER"]);
        const lines = removalLines(stdout);
        if (lines.length > 0) await this.#restore({ program, lines });
      });
    }
  }

  async #restore({ program, lines }: DockerTable): Promise<void> {
    const input = ["*filter", ...lines, "COMMIT", ""].join("\n");
    await this.#exec.run(`${program}-restore`, ["-w", "--noflush"], { input });
  }

  /** All else of the network goes on without it; the next repair tries again. */
  async #tryTo(action: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#log.warn(`cannot ${action}`, { reason: Fault.from(error).message });
    }
  }
}

function hasDockerChain(ruleset: string, family: "ip" | "ip6"): boolean {
  const start = ruleset.indexOf(`table ${family} filter {\n`);
  const end = ruleset.indexOf("\n}", start);
  return start !== -1 && ruleset.slice(start, end).includes("\tchain DOCKER-USER {");
}
