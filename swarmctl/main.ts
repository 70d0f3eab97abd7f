#!/usr/bin/env node
/**
 * The process around `run`: real streams, Ctrl-C, and the exit code. Nothing heavy is imported here; each command loads
 * what it needs once it is known to be the right one.
 */
import { enableCompileCache } from "node:module";
import { systemClock } from "#proto/system-clock.ts";
import { cacheFolder } from "./cache-folder.ts";

const folder = cacheFolder(process.env);
if (folder !== undefined) enableCompileCache(folder);

const { run } = await import("./run.ts");

const interrupt = new AbortController();
const onInterrupt = () => {
  interrupt.abort();
  // Somebody may wait for what is typed, which would not end before the next line.
  process.stdin.destroy();
  // A second Ctrl-C finds Node's own handler and ends the process at once.
  ignoreInterrupts();
};
const ignoreInterrupts = () => {
  for (const name of ["SIGINT", "SIGTERM"]) process.off(name, onInterrupt);
};
const heedInterrupts = () => {
  for (const name of ["SIGINT", "SIGTERM"]) process.on(name, onInterrupt);
};
heedInterrupts();

/** What a process in a container gets when its user's swarmctl gets it. */
const passed = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

function passSignals(listener: (name: NodeJS.Signals) => void): Disposable {
  ignoreInterrupts();
  for (const name of passed) process.on(name, listener);
  return {
    [Symbol.dispose]: () => {
      for (const name of passed) process.off(name, listener);
      heedInterrupts();
    },
  };
}

// Whoever reads our output may stop early, as `head` does.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  clock: systemClock,
  signal: interrupt.signal,
  passSignals,
});
