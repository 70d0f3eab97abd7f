/** The command line of the lab: `npm run -s lab -- COMMAND`. */
import { constants } from "node:os";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { Fault } from "#proto/fault.ts";
import { signalInside } from "./box.ts";
import { Lab, labNameDefault } from "./lab.ts";

import { statusOf } from "./process.ts";
import { imageNames, parseImageName } from "./registry/images.ts";

const exitFailure = 1;
const exitUsage = 2;

interface NameOption {
  readonly name: string;
}

interface UpOptions extends NameOption {
  readonly managers: number;
  readonly workers: number;
  readonly images: string;
  readonly cluster: boolean;
}

interface DownOptions extends NameOption {
  readonly id?: string;
}

function program(): Command {
  const lab = new Command("lab")
    .description("Virtual hosts on this machine, joined by a LAN with a registry")
    .enablePositionalOptions()
    .exitOverride();
  const command = (usage: string, description: string) =>
    lab.command(usage).description(description).option("--name <lab>", "which lab", labNameDefault);
  command("up", "Bring up a lab and make its hosts one cluster")
    .option("--managers <n>", "hosts that manage the cluster", parseCount, 1)
    .option("--workers <n>", "hosts that only run tasks", parseCount, 0)
    .option("--images <names>", "test images in the registry", imageNames.join(","))
    .option("--no-cluster", "boot the hosts only: swarmd does not run on them")
    .action(up);
  command("ls", "List the hosts of a lab").action(list);
  command("exec <host> <command...>", "Run a command inside a host: exec HOST -- CMD ARG…")
    .passThroughOptions()
    .action(exec);
  command("kill <host>", "Power loss: everything on the host ends at once").action(kill);
  command("start <host>", "Boot a host again, with the data it had").action(startHost);
  command("stop <host>", "Shut a host down in good order").action(stopHost);
  command("cut <host...>", "Separate hosts from all others and from the registry").action(cut);
  command("heal [host...]", "Join hosts that were cut off, or all of them").action(heal);
  command("swarmd <host> <kill|start|stop>", "Kill, start or stop swarmd alone").action(swarmd);
  command("down", "Remove a lab and everything it has")
    .option("--id <id>", "only if this is still the lab that has the name")
    .action(down);
  return lab;
}

async function up(options: UpOptions): Promise<void> {
  const interrupted = new AbortController();
  const onInterrupt = () => interrupted.abort(new Fault("canceled", "interrupted"));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onInterrupt);
  const images = options.images.split(",").filter((name) => name !== "");
  await Lab.up({
    name: options.name,
    managers: options.managers,
    workers: options.workers,
    images: images.map(parseImageName),
    cluster: options.cluster,
    signal: interrupted.signal,
    onStep: (step) => console.error(step),
  });
}

async function list(options: NameOption): Promise<void> {
  const lab = Lab.open(options.name);
  const rows = [["HOST", "ADDRESS", "ROLE", "STATE", "SWARMD PID"]];
  for (const host of lab.hosts) {
    const pid = host.swarmd.process?.pid.toString() ?? "-";
    rows.push([host.name, host.address, host.role, await host.state(), pid]);
  }
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  for (const row of rows) {
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  }
}

/** Becomes the command as far as anybody can tell: its terminal, its input and output, its signals, its exit status. */
async function exec(name: string, command: readonly string[], options: NameOption): Promise<void> {
  const [file = "", ...args] = command[0] === "--" ? command.slice(1) : command;
  const child = Lab.open(options.name).host(name).spawn(file, args, { stdio: "inherit" });
  const forward = (signal: NodeJS.Signals) => {
    // What is typed on a terminal reaches the command without us.
    if (signal === "SIGINT" && process.stdin.isTTY) return;
    signalInside(child, signal);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
    process.on(signal, forward);
  }
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, killedBy) => resolve(statusOf(code, killedBy)));
  });
}

async function kill(name: string, options: NameOption): Promise<void> {
  await Lab.open(options.name).host(name).kill();
}

async function startHost(name: string, options: NameOption): Promise<void> {
  await Lab.open(options.name).host(name).start();
}

async function stopHost(name: string, options: NameOption): Promise<void> {
  await Lab.open(options.name).host(name).stop();
}

async function cut(names: readonly string[], options: NameOption): Promise<void> {
  await Lab.open(options.name).cut(...names);
}

async function heal(names: readonly string[], options: NameOption): Promise<void> {
  await Lab.open(options.name).heal(...names);
}

async function swarmd(name: string, action: string, options: NameOption): Promise<void> {
  const host = Lab.open(options.name).host(name);
  if (action === "kill") await host.swarmd.kill();
  else if (action === "stop") await host.swarmd.stop();
  else if (action === "start") await host.startSwarmd();
  else throw new InvalidArgumentError(`"${action}" is not kill, start or stop.`);
}

async function down(options: DownOptions): Promise<void> {
  await Lab.down(options.name, options.id);
}

function parseCount(text: string): number {
  if (/^[0-9]{1,4}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Write a whole number.");
}

try {
  await program().parseAsync();
} catch (thrown) {
  if (thrown instanceof CommanderError) {
    // Commander has said what is wrong; --help is no error.
    process.exitCode = thrown.exitCode === 0 ? 0 : exitUsage;
  } else {
    const fault = Fault.from(thrown);
    console.error(fault.message);
    process.exitCode = fault.code === "canceled" ? 128 + constants.signals.SIGINT : exitFailure;
  }
}
