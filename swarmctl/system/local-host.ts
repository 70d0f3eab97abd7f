/** Checks the host that swarmctl runs on, with nothing of swarmd. */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { checkHostArgs } from "#proto/check-host.ts";
import { Fault } from "#proto/fault.ts";

/** What check-host prints. */
export async function runCheckHost(): Promise<string> {
  const child = spawn("sh", checkHostArgs(), { stdio: ["ignore", "pipe", "inherit"] });
  const ended = Promise.withResolvers<number | null>();
  child.once("error", ended.reject);
  child.once("close", ended.resolve);
  try {
    const [stdout, status] = await Promise.all([text(child.stdout), ended.promise]);
    if (status === 0) return stdout;
    throw new Fault("internal", `it ended with status ${status}`);
  } catch (thrown) {
    throw Fault.wrap("Cannot run check-host", thrown);
  }
}
