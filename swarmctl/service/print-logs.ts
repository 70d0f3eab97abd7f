/** What `service logs` and `task logs` share: their flags, and printing what the manager sends. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import type { SubscribeLogsRequestSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import type { Context, ControlClient } from "../context.ts";
import { momentHelp, parseMomentMs } from "../flags/moment.ts";
import { flag, wholeNumber } from "../flags/parse-flag.ts";
import { LogPrinter, type LogPrinterOptions } from "./log-printer.ts";

export interface LogFlags extends LogPrinterOptions {
  readonly tail?: bigint | "all";
  readonly since?: Timestamp;
  readonly until?: Timestamp;
}

export function addLogFlags(command: Command, { io }: Context): Command {
  const time = flag((text: string) => timestampFromMs(parseMomentMs(text, io.clock.now())));
  return command
    .option("-f, --follow", "go on as lines come")
    .option("-n, --tail <lines>", 'last lines of each task, or "all"', flag(parseTail))
    .option("--since <time>", `from ${momentHelp}`, time)
    .option("--until <time>", `to ${momentHelp}`, time)
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
