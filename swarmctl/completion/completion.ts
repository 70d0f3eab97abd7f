import { Argument, type Command } from "commander";
import type { Context } from "../context.ts";
import { scripts, type Shell } from "./scripts.ts";

export function define(command: Command, context: Context): void {
  command
    .addArgument(
      new Argument("<shell>", "which shell shall complete").choices(Object.keys(scripts)),
    )
    .addHelpText(
      "after",
      `
For this shell:  source <(swarmctl completion bash)
For all, bash:   swarmctl completion bash >/etc/bash_completion.d/swarmctl
For all, zsh:    swarmctl completion zsh >/usr/local/share/zsh/site-functions/_swarmctl
For all, fish:   swarmctl completion fish >/etc/fish/completions/swarmctl.fish`,
    )
    .action((shell: Shell) => {
      context.io.stdout.write(scripts[shell]);
    });
}
