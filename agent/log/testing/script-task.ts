/** A real conmon with a runtime that runs a script in place of a container. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { errnoOf } from "#proto/fault.ts";
import { LogOptionsSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { newId } from "#proto/ids.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { killConmon, startConmon } from "../../container/conmon.ts";
import { overlayOptions } from "../../container/rootfs.ts";
import { readPid } from "../../container/supervised-process.ts";
import { type Exec, systemExec } from "../../exec.ts";
import { LogRotation, type RotationLimits } from "../log-files.ts";
import { type ReadLine, readLog } from "../log-reader.ts";

/** A task whose only process is this shell script, with `$go` a file that it can wait for. */
export class ScriptTask implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "swarm-log-"));
  readonly taskId = newId(systemRandom);
  readonly ended = new AbortController();
  readonly #script: string;
  readonly #exec: Exec;

  constructor(script: string, exec = systemExec) {
    this.#script = script;
    this.#exec = exec;
  }

  async start(...logFlags: readonly string[]): Promise<void> {
    for (const name of ["l/0", "1/upper", "1/work", "1/rootfs", "exits"]) {
      mkdirSync(join(this.folder, name), { recursive: true });
    }
    const { folder } = this;
    const job = join(folder, "job");
    writeFileSync(job, this.#script.replaceAll("$go", join(folder, "go")));
    const runtime = join(folder, "runtime");
    // What conmon calls with "create --bundle … --pid-file FILE ID".
    const text = `#!/bin/sh
while [ $# -gt 0 ]; do case $1 in --pid-file) file=$2;; esac; shift; done
setsid sh ${job} &
echo $! >"$file"
`;
    writeFileSync(runtime, text, { mode: 0o755 });
    await startConmon(
      {
        taskId: this.taskId,
        taskFolder: folder,
        attempt: "1",
        overlay: overlayOptions(1, "1"),
        runtime,
        runtimeRoot: join(folder, "runc"),
        exitsFolder: join(folder, "exits"),
        logFlags,
        terminal: false,
        stdin: false,
        sharesMounts: false,
      },
      { exec: this.#exec, clock: systemClock },
    );
  }

  go(): void {
    writeFileSync(join(this.folder, "go"), "");
  }

  rotation(limits: RotationLimits): () => void {
    const rotation = new LogRotation(this.folder, limits);
    return () => rotation.look(join(this.folder, "1", "ctl"));
  }

  get hasExited(): boolean {
    return existsSync(join(this.folder, "exits", this.taskId));
  }

  read(options: { follow?: boolean; tail?: bigint } = {}): AsyncGenerator<readonly ReadLine[]> {
    const source = {
      folder: this.folder,
      options: create(LogOptionsSchema, options),
      ended: this.ended.signal,
    };
    return readLog(source, new AbortController().signal);
  }

  async texts(options: { tail?: bigint } = {}): Promise<string[]> {
    const lines = (await Array.fromAsync(this.read(options))).flat();
    return lines.map(({ data }) => Buffer.from(data).toString());
  }

  [Symbol.dispose](): void {
    this.ended.abort();
    killConmon(this.taskId, join(this.folder, "1"));
    this.#killScript();
    rmSync(this.folder, { recursive: true });
  }

  /** One that still waits for `$go`, in a session of its own. */
  #killScript(): void {
    const pid = readPid(join(this.folder, "1", "pid"));
    if (pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch (thrown) {
      if (errnoOf(thrown) !== "ESRCH") throw thrown;
    }
  }
}
