/**
 * `npm start`: a cluster of three virtual hosts on this machine, shown at work. Stays up until Ctrl-C; with --once it
 * goes down after the tour and exits 0, or names the step that failed and exits 1. The lab's janitor removes everything
 * also when this process is killed.
 */
import { parseArgs } from "node:util";
import { Fault } from "#proto/fault.ts";
import { ClusterView } from "./cluster-view.ts";
import { Lab, labNameDefault } from "./lab.ts";
import { steps } from "./tour.ts";

function howToGoOn(name: string): string {
  const named = name === labNameDefault ? "" : ` --name ${name}`;
  const lab = (verb: string, rest: string) => `  npm run -s lab -- ${verb}${named} ${rest}`;
  return [
    "",
    "The cluster stays up until Ctrl-C. In another terminal:",
    lab("exec", "h1 -- swarmctl service ls"),
    lab("exec", "h1 -- swarmctl service ps hello_web"),
    lab("exec", "h1 -- swarmctl service scale hello_web=5"),
    lab("exec", "h1 -- swarmctl service logs -f hello_client"),
    lab("kill", "h2      (power loss)"),
    lab("start", "h2     (and back)"),
    "",
  ].join("\n");
}

function say(line: string): void {
  for (const part of line.trimEnd().split("\n")) process.stdout.write(`  ${part}\n`);
}

function heading(text: string): void {
  process.stdout.write(`\n${text}\n`);
}

interface Options {
  readonly once: boolean;
  readonly name: string;
}

function readOptions(): Options {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: "boolean", default: false },
        name: { type: "string", default: labNameDefault },
      },
    });
    return values;
  } catch (thrown) {
    process.stderr.write(`npm start: ${Fault.from(thrown).message}\n`);
    process.exit(2);
  }
}

/** Aborted by the first Ctrl-C or the like. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => controller.abort(new Fault("canceled", `stopped by ${signal}`)));
  }
  return controller.signal;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = () => reject(Fault.from(signal.reason));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

/** Goes through the tour; throws a Fault that names the step. */
async function give(options: Options, signal: AbortSignal): Promise<void> {
  heading("Bringing up three hosts, h1, h2 and h3, and making them a cluster");
  await using lab = await Lab.up({
    name: options.name,
    managers: 1,
    workers: 2,
    images: ["busybox", "debian"],
    ownedByThisProcess: true,
    signal,
    onStep: say,
  });
  using view = await ClusterView.open(lab.host("h1"));
  const stopped = aborted(signal);
  for (const step of steps) {
    heading(step.name);
    try {
      await Promise.race([step.run({ lab, view, say }), stopped]);
    } catch (thrown) {
      throw Fault.wrap(`the step "${step.name}" failed`, thrown);
    }
  }
  if (options.once) return;
  process.stdout.write(howToGoOn(options.name));
  await stopped;
}

const options = readOptions();
const signal = interruption();
try {
  await give(options, signal);
  heading("All went as it should; everything is removed again");
} catch (thrown) {
  if (signal.aborted) heading("Everything is removed again");
  else {
    process.stderr.write(`npm start: ${Fault.from(thrown).message}\n`);
    process.exitCode = 1;
  }
}
process.exit();
