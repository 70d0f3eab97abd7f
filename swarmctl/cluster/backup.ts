import { link, open, rename, rm, stat } from "node:fs/promises";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context, ControlClient } from "../context.ts";

interface Options {
  readonly force?: boolean;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<file>", "where to write the backup")
    .option("-f, --force", "replace the file if it is there")
    .action(async (file: string, { force = false }: Options) => {
      await refuseTaken(file, force);
      const control = await context.control();
      const bytes = await writeBackup(context, control, { file, force });
      context.print(`Wrote ${file}: ${bytes} bytes.`);
      context.io.stderr.write(
        "It holds the cluster's keys and secrets: keep it where you keep passwords.\n",
      );
    });
}

async function refuseTaken(file: string, force: boolean): Promise<void> {
  // It would be a file of that name, with every secret of the cluster, where nobody looks for it.
  if (file === "-") {
    throw new Fault("invalid-argument", 'A backup is written to a file: give a name, not "-"');
  }
  if (force || (await stat(file).catch(() => undefined)) === undefined) return;
  const message = `Cannot write "${file}": it exists already; choose another name, or replace it with --force`;
  throw new Fault("already-exists", message);
}

/** The file is there whole or not at all, and for its owner alone from the start. */
async function writeBackup(
  { io }: Context,
  control: ControlClient,
  { file, force }: { readonly file: string; readonly force: boolean },
): Promise<number> {
  const draft = `${file}.partial`;
  try {
    await using output = await open(draft, "w", 0o600);
    await output.chmod(0o600);
    for await (const { data } of control.backupCluster({}, { signal: io.signal })) {
      await output.writeFile(data);
    }
    await output.sync();
    const { size } = await output.stat();
    if (force) await rename(draft, file);
    else await link(draft, file);
    return size;
  } catch (thrown) {
    throw Fault.wrap(`Cannot write the backup "${file}"`, thrown);
  } finally {
    await rm(draft, { force: true });
  }
}
