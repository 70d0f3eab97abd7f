/** Mounts what a volume's options name, as Docker's local driver does: the kernel's own mount, no helper program. */
import { lookup } from "node:dns/promises";
import { stat } from "node:fs/promises";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";
import { systemClock } from "#proto/system-ports.ts";
import type { Exec } from "../exec.ts";
import type { Volume } from "./volume-files.ts";

/** A server that does not answer; the kernel itself waits for minutes. */
const mountMs = 60_000;
const lookupMs = 10_000;
const unmountMs = 10_000;

export function hasMount({ options }: Pick<Volume, "options">): boolean {
  return Object.keys(options).length > 0;
}

export async function mountVolume(volume: Volume, target: string, exec: Exec): Promise<void> {
  const { type = "", device = "", o = "" } = volume.options;
  try {
    const options = await resolveServer(o);
    if (options.split(",").some((option) => option === "bind" || option === "rbind")) {
      await checkFolder(device);
    }
    const flags = options === "" ? [] : ["-o", options];
    // -i: a helper such as mount.nfs would need services of its own.
    await exec.run("mount", ["-i", "-t", type, ...flags, "--", device, target], {
      timeoutMs: mountMs,
    });
  } catch (thrown) {
    throw Fault.wrap(`Cannot mount the volume "${volume.name}" (${type} "${device}")`, thrown);
  }
}

/** A server that is away, or a stranger's open file, must not keep a task from its end: then it goes when they let go. */
export async function unmountVolume(
  name: string,
  target: string,
  { exec, log }: { readonly exec: Exec; readonly log: Log },
): Promise<void> {
  try {
    await exec.run("umount", ["-i", "--no-canonicalize", "--", target], { timeoutMs: unmountMs });
  } catch (thrown) {
    const { message: error } = Fault.from(thrown);
    log.warn("A volume is still in use by something else: it is detached", { volume: name, error });
    await exec.run("umount", ["-i", "--no-canonicalize", "--lazy", "--", target]);
  }
}

/** The kernel takes a server's address, not its name (Docker: addr=NAME). */
async function resolveServer(options: string): Promise<string> {
  const words = options.split(",");
  const resolved = words.map(async (word) => {
    const name = /^addr=(.*)$/.exec(word)?.[1];
    return name === undefined ? word : `addr=${await addressOf(name)}`;
  });
  return (await Promise.all(resolved)).join(",");
}

async function addressOf(name: string): Promise<string> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const fault = new Fault(
    "deadline-exceeded",
    `waited ${lookupMs / 1000} s for the address of "${name}"`,
  );
  using _timer = systemClock.timer(lookupMs, () => reject(fault));
  return (await Promise.race([lookup(name), late])).address;
}

async function checkFolder(path: string): Promise<void> {
  try {
    await stat(path);
  } catch (thrown) {
    if (errnoOf(thrown) !== "ENOENT") throw thrown;
    throw new Fault(
      "failed-precondition",
      `"${path}" does not exist on this host: create it first`,
    );
  }
}
