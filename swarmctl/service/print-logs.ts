/** What `service logs` and `task logs` share: their flags, and printing what the manager sends. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import type { SubscribeLogsRequestSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { parseDurationMs, timestampFromMs } from "#proto/time.ts";
import type { Context, ControlClient } from "../context.ts";
import { flag, wholeNumber } from "../flags/parse-flag.ts";
import { LogPrinter, type LogPrinterOptions } from "./log-printer.ts";

export interface LogFlags extends LogPrinterOptions {
  readonly tail?: bigint | "all";
  readonly since?: Timestamp;
  readonly until?: Timestamp;
}

const timeHelp = "a time such as 2026-01-02T15:04:05Z, or how long ago, such as 10m";

export function addLogFlags(command: Command, { io }: Context): Command {
  const time = flag((text: string) => parseLogTime(text, io.clock));
  return command
    .option("-f, --follow", "go on as lines come")
    .option("-n, --tail <lines>", 'last lines of each task, or "all"', flag(parseTail))
    .option("--since <time>", `from ${timeHelp}`, time)
    .option("--until <time>", `to ${timeHelp}`, time)
    .option("-t, --timestamps", "show when each line was written")
    .option("--details", "show where each line is from, and the driver's labels and variables")
    .option("--raw", "show the lines alone")
    .option("--no-task-ids", "leave task IDs out of the names")
    .option("--no-resolve", "show IDs in place of names")
    .option("--no-trunc", "show IDs in full");
}

type Target = Pick<MessageInitShape<typeof SubscribeLogsRequestSchema>, "serviceRef" | "taskRef">;

export async function printLogs(
  { io }: Context,
  control: ControlClient,
  target: Target,
  flags: LogFlags,
): Promise<void> {
  const printer = new LogPrinter(io, control, flags);
  const request = { ...target, options: logOptions(flags) };
  for await (const reply of control.subscribeLogs(request, { signal: io.signal })) {
    await printer.print(reply);
  }
  printer.finish();
}

type LogOptionsInit = NonNullable<MessageInitShape<typeof SubscribeLogsRequestSchema>["options"]>;

function logOptions({ follow, tail, since, until }: LogFlags): LogOptionsInit {
  return {
    follow: follow ?? false,
    ...(typeof tail === "bigint" && { tail }),
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
  };
}

function parseTail(text: string): bigint | "all" {
  return text === "all" ? text : wholeNumber(text);
}

function parseLogTime(text: string, clock: Clock): Timestamp {
  const rfc3339 = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;
  if (rfc3339.test(text)) {
    const ms = Date.parse(text);
    if (Number.isFinite(ms)) return timestampFromMs(ms);
  }
  if (/^\d{9,12}$/.test(text)) return timestampFromMs(Number(text) * 1000);
  return timestampFromMs(clock.now() - parseDurationMs(text));
}
