/**
 * A virtual machine that runs one program of this repository and is gone. Its processor is emulated, and its clock counts
 * instructions, one every 4 ns: what is measured in it does not depend on what else this machine does.
 */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "#lab/process.ts";
import { ensureMachineFiles } from "#lab/vm/disk.ts";
import { Fault } from "#proto/fault.ts";
import { diskRecipe } from "./root.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));

/** It boots in twenty seconds on a machine that does nothing else. */
const timeoutMs = 900_000;

export interface MachineOptions {
  /** Path of the program in the repository. */
  readonly program: string;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

/** What the program writes on stdout. The repository is read-only to it, and what it writes to its disk is forgotten. */
export async function runInMachine(options: MachineOptions): Promise<string> {
  const { program, signal, onStep } = options;
  const { kernel, initrd, disk } = await ensureMachineFiles(diskRecipe, { signal, onStep });
  const work = await mkdtemp(join(tmpdir(), "bench-vm-"));
  const log = join(work, "console");
  const result = join(work, "result");
  const append = `root=/dev/vda rw init=/init console=ttyS0 quiet program=${program}`;
  // It ends with this process, in whatever way that ends.
  const argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", "tcg"];
  argv.push("-icount", "shift=2");
  argv.push("-cpu", "max", "-smp", "1", "-m", "2048", "-nodefaults", "-display", "none");
  argv.push("-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append", append);
  argv.push("-drive", `file=${disk},format=raw,if=virtio,snapshot=on`);
  const share = "local,security_model=none";
  argv.push("-virtfs", `${share},path=${repository},mount_tag=repository,readonly=on`);
  argv.push("-virtfs", `${share},path=${result},mount_tag=result`, "-serial", `file:${log}`);
  try {
    await mkdir(result);
    await run(argv, { timeoutMs, signal });
    const output = await readFile(join(result, "output"), "utf8").catch(() => "");
    if (output !== "") return output;
    const said = (await readFile(log, "utf8")).slice(-2_000);
    throw new Fault("internal", `${program} failed in the virtual machine: ${said}`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
