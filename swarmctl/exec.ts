import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { ContainerService, type ExecStart } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Context } from "./context.ts";
import { detachKeysDefault, parseDetachKeys } from "./detach-keys.ts";
import { flag, flags, text } from "./flags/parse-flag.ts";
import { readEnvironment } from "./service/environment.ts";
import { type Input, Interaction } from "./interaction.ts";
import { runningTask } from "./running-task.ts";

interface Options {
  readonly detach?: true;
  readonly interactive?: true;
  readonly tty?: true;
  readonly env?: string[];
  readonly envFile?: string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly privileged?: true;
  readonly detachKeys?: Uint8Array;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<task>", "ID, prefix of an ID, or name such as web.1")
    .argument("<command...>", "what to run in its container")
    // What stands after the task is the command's own.
    .passThroughOptions()
    .option("-d, --detach", "let it run on alone: what it prints is lost")
    .option("-i, --interactive", "pass on what is typed or piped in")
    .option("-t, --tty", "give it a terminal")
    .option("-e, --env <name=value>", "set a variable; NAME alone takes yours", flags(text))
    .option("--env-file <file>", "set the variables of a file (repeat)", flags(text))
    .option("-u, --user <user>", "run as NAME or ID, with :GROUP where you like")
    .option("-w, --workdir <dir>", "run in this folder of the container")
    .option("--privileged", "with all that the host can give")
    .option(
      "--detach-keys <keys>",
      `leave by these keys, and let it run on (default ${detachKeysDefault})`,
      flag(parseDetachKeys),
    )
    .action(async (ref: string, words: string[], options: Options) => {
      const { io } = context;
      const { interactive = false, tty = false } = options;
      if (options.detach) {
        await leaveRunning(context, ref, { words, options });
        return;
      }
      if (tty && interactive && io.stdin.isTTY !== true) {
        const message = "The input is not a terminal: leave out -t, or do not pipe anything in";
        throw new Fault("invalid-argument", message);
      }
      const task = await runningTask(context, ref);
      const client = await context.engine(ContainerService, task.nodeId);
      const interaction = new Interaction(io, {
        terminal: tty,
        stdin: interactive,
        detachKeys: options.detachKeys ?? parseDetachKeys(detachKeysDefault),
        signals: true,
      });
      const env = await readEnvironment(options, io.env);
      const start = { ...startOf(options), env, taskId: task.id, command: words };
      const size = tty && interaction.size !== undefined ? { size: interaction.size } : {};
      const ending = await interaction.run((inputs) =>
        client.exec(requests({ ...start, ...size }, inputs), { signal: io.signal }),
      );
      if (typeof ending === "number") context.exitCode = ending;
    });
}

/** What cannot be run has ended by then. */
const settleMs = 500;

/** What shells say of a command that cannot be run, or that is not there. */
const neverRan = [126, 127];

interface Words {
  readonly words: string[];
  readonly options: Options;
}

async function leaveRunning(context: Context, ref: string, given: Words): Promise<void> {
  const { io } = context;
  const task = await runningTask(context, ref);
  const client = await context.engine(ContainerService, task.nodeId);
  const env = await readEnvironment(given.options, io.env);
  const start = { ...startOf(given.options), env, taskId: task.id, command: given.words };
  const ended = new AbortController();
  const signal = AbortSignal.any([io.signal, ended.signal]);
  const inputs = async function* () {
    await io.clock.sleep(settleMs, signal).catch(() => undefined);
    if (!signal.aborted) yield { case: "detach", value: true } as const;
  };
  const said: Uint8Array[] = [];
  for await (const { output } of client.exec(requests(start, inputs()), { signal: io.signal })) {
    if (output.case === "stderr") said.push(output.value);
    if (output.case !== "exitCode") continue;
    ended.abort();
    if (!neverRan.includes(output.value)) continue;
    io.stderr.write(Buffer.concat(said));
    context.exitCode = output.value;
  }
  ended.abort();
}

type Start = Omit<Partial<ExecStart>, "size" | "$typeName"> & {
  readonly size?: { readonly rows: number; readonly columns: number };
};

function startOf(options: Options): Start {
  return {
    tty: options.tty ?? false,
    openStdin: options.interactive ?? false,
    privileged: options.privileged ?? false,
    user: options.user ?? "",
    dir: options.workdir ?? "",
  };
}

async function* requests(start: Start, inputs: AsyncIterable<Input>) {
  yield { input: { case: "start", value: start } } as const;
  for await (const input of inputs) yield { input };
}
