import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { SubscribeLogsRequestSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { parseDurationMs, timestampFromMs } from "#proto/time.ts";
import type { Context, ControlClient } from "../context.ts";
import { flag, wholeNumber } from "../flags/parse-flag.ts";
import { LogPrinter, type LogPrinterOptions } from "./log-printer.ts";

interface Options extends LogPrinterOptions {
  readonly follow?: true;
  readonly tail?: bigint | "all";
  readonly since?: Timestamp;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<service|task>", "ID, prefix of an ID, or name")
    .option("-f, --follow", "go on as lines come")
    .option("-n, --tail <lines>", 'last lines of each task, or "all"', flag(parseTail))
    .option(
      "--since <time>",
      "a time such as 2026-01-02T15:04:05Z, or how long ago, such as 10m",
      flag((text: string) => parseSince(text, context.io.clock)),
    )
    .option("-t, --timestamps", "show when each line was written")
    .option("--raw", "show the lines alone")
    .option("--no-task-ids", "leave task IDs out of the names")
    .action(async (ref: string, options: Options) => {
      const control = await context.control();
      const request = { ...(await target(control, ref)), options: logOptions(options) };
      const printer = new LogPrinter(context.io, control, options);
      for await (const reply of control.subscribeLogs(request, { signal: context.io.signal })) {
        await printer.print(reply);
      }
      printer.finish();
    });
}

type LogOptionsInit = NonNullable<MessageInitShape<typeof SubscribeLogsRequestSchema>["options"]>;

function logOptions({ follow, tail, since }: Options): LogOptionsInit {
  return {
    follow: follow ?? false,
    ...(typeof tail === "bigint" && { tail }),
    ...(since !== undefined && { since }),
  };
}

/** Names of services win over those of tasks, as nobody names a service "web.1". */
async function target(control: ControlClient, ref: string) {
  try {
    const { service } = await control.getService({ ref });
    return { serviceRef: service?.id ?? ref };
  } catch (thrown) {
    if (Fault.from(thrown).code !== "not-found") throw thrown;
  }
  try {
    const { task } = await control.getTask({ ref });
    return { taskRef: task?.id ?? ref };
  } catch (thrown) {
    if (Fault.from(thrown).code !== "not-found") throw thrown;
    throw new Fault("not-found", `No service or task "${ref}": see "swarmctl service ls"`);
  }
}

function parseTail(text: string): bigint | "all" {
  return text === "all" ? text : wholeNumber(text);
}

export function parseSince(text: string, clock: Clock): Timestamp {
  const rfc3339 = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;
  if (rfc3339.test(text)) {
    const ms = Date.parse(text);
    if (Number.isFinite(ms)) return timestampFromMs(ms);
  }
  if (/^\d{9,12}$/.test(text)) return timestampFromMs(Number(text) * 1000);
  return timestampFromMs(clock.now() - parseDurationMs(text));
}
