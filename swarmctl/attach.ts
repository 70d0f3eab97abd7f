import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { ContainerService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Context } from "./context.ts";
import { detachKeysDefault, parseDetachKeys } from "./detach-keys.ts";
import { flag } from "./flags/parse-flag.ts";
import { type Input, Interaction } from "./interaction.ts";
import { runningTask } from "./running-task.ts";

interface Options {
  readonly stdin: boolean;
  readonly sigProxy: boolean;
  readonly detachKeys?: Uint8Array;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<task>", "ID, prefix of an ID, or name such as web.1")
    .option("--no-stdin", "only show what it prints")
    .option("--sig-proxy", "pass on the signals that swarmctl gets", true)
    .option("--no-sig-proxy", "do not: Ctrl-C ends swarmctl, not the container")
    .option(
      "--detach-keys <keys>",
      `leave by these keys (default ${detachKeysDefault})`,
      flag(parseDetachKeys),
    )
    .action(async (ref: string, options: Options) => {
      const { io } = context;
      const task = await runningTask(context, ref);
      const container =
        task.spec?.runtime.case === "container" ? task.spec.runtime.value : undefined;
      const terminal = container?.tty ?? false;
      const openStdin = options.stdin && (container?.openStdin ?? false);
      if (terminal && openStdin && io.stdin.isTTY !== true) {
        const message = "The container has a terminal, and the input is none: add --no-stdin";
        throw new Fault("invalid-argument", message);
      }
      const client = await context.engine(ContainerService, task.nodeId);
      const interaction = new Interaction(io, {
        terminal,
        stdin: openStdin,
        detachKeys: options.detachKeys ?? parseDetachKeys(detachKeysDefault),
        // A terminal makes signals of keys itself.
        signals: options.sigProxy && !terminal,
      });
      const size = terminal && interaction.size !== undefined ? { size: interaction.size } : {};
      const leave = new AbortController();
      const signal = AbortSignal.any([io.signal, leave.signal]);
      const start = { taskId: task.id, openStdin, ...size };
      const call = (inputs: AsyncIterable<Input>) =>
        client.attach(requests(start, inputs, leave), { signal });
      const ending = await interaction.run(call).catch((thrown: unknown) => {
        if (!leave.signal.aborted) throw thrown;
        return "detached" as const;
      });
      if (typeof ending === "number") context.exitCode = ending;
    });
}

interface Start {
  readonly taskId: string;
  readonly openStdin: boolean;
  readonly size?: { readonly rows: number; readonly columns: number };
}

/** To leave is to end the call: the container does not notice. */
async function* requests(start: Start, inputs: AsyncIterable<Input>, leave: AbortController) {
  yield { input: { case: "start", value: start } } as const;
  for await (const input of inputs) {
    if (input.case === "detach") leave.abort();
    else yield { input };
  }
}
