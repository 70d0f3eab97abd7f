/**
 * The last part of a deployment that prunes: removes the networks, secrets and configs of the stack that its file does
 * not name any more, when nobody uses them. What is still in use after a while stays, and the user is told.
 */
import { Fault } from "#proto/fault.ts";
import { type FileNoun, fileApi, fileName, type FileObject } from "./file-api.ts";
import type { ControlClient } from "./look.ts";
import type { DeployPlan } from "./plan-deploy.ts";
import { isFileUsed } from "./plan-prune.ts";
import { ignoreMissing, type Patience, patienceMs, removeNetwork } from "./remove-network.ts";
import { nameOf } from "./stack.ts";

export interface LeftoverOptions extends Patience {
  readonly onStep: (line: string) => void;
  readonly onWarnings: (warnings: readonly string[]) => void;
}

const retryMs = 500;

export async function removeLeftovers(
  control: ControlClient,
  { networks, secrets, configs }: DeployPlan["leftovers"],
  options: LeftoverOptions,
): Promise<void> {
  for (const secret of secrets)
    await removeFile(control, { noun: "secret", file: secret }, options);
  for (const config of configs)
    await removeFile(control, { noun: "config", file: config }, options);
  for (const { id, spec } of networks) {
    options.onStep(`Removing network ${nameOf(spec)}`);
    try {
      await removeNetwork(control, id, options);
    } catch (thrown) {
      const fault = Fault.from(thrown);
      if (fault.code !== "failed-precondition") throw fault;
      options.onWarnings([`${fault.message}; deploy with --prune again later`]);
    }
  }
}

interface Leftover {
  readonly noun: FileNoun;
  readonly file: FileObject;
}

async function removeFile(
  control: ControlClient,
  { noun, file }: Leftover,
  options: LeftoverOptions,
): Promise<void> {
  const { clock, signal } = options;
  const name = fileName(file);
  options.onStep(`Removing ${noun} ${name}`);
  const deadline = clock.monotonic() + patienceMs;
  for (;;) {
    const [{ services }, { tasks }] = await Promise.all([
      control.listServices({}, { signal }),
      control.listTasks({}, { signal }),
    ]);
    if (!isFileUsed(file, services, tasks)) break;
    if (clock.monotonic() > deadline) {
      options.onWarnings([`${noun} ${name} is still in use; deploy with --prune again later`]);
      return;
    }
    await clock.sleep(retryMs, signal);
  }
  await ignoreMissing(fileApi(control, noun, { signal }).remove(file.id));
}
