/**
 * `service plan`: what `service update` with the same flags would do, as managers answer it without doing it. Exits as
 * others of its kind: 0, and with --detailed-exitcode 2 where something would change.
 */
import { type Command, Option } from "commander";
import type { UpdateServiceResponse } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { describeChange, type FieldChange, fieldChanges } from "#stacks/field-changes.ts";
import type { Context, ControlClient } from "../context.ts";
import { type Colour, painter } from "../output/colour.ts";
import { visible } from "../output/table.ts";
import { printWarnings } from "../warnings.ts";
import {
  addChangeFlags,
  type ChangeFlags,
  checkRollbackAlone,
  specChange,
} from "./change-flags.ts";
import { answered } from "./change-service.ts";
import { serviceName, taskName } from "./words.ts";

interface Options extends ChangeFlags {
  readonly format: "text" | "json";
  readonly detailedExitcode?: true;
}

const exitChanges = 2;

/** More tasks than these are counted. */
const tasksMax = 20;

export function define(command: Command, context: Context): void {
  addChangeFlags(command)
    .optionsGroup("Options:")
    .addOption(
      new Option("--format <format>", "how to print").choices(["text", "json"]).default("text"),
    )
    .option(
      "--detailed-exitcode",
      "exit with 0: nothing would change, 1: failed, 2: something would",
    )
    .action(async (ref: string, options: Options) => {
      if (options.rollback) checkRollbackAlone(command, ["format", "detailedExitcode"]);
      const control = await context.control();
      const before = answered(await control.getService({ ref }));
      const reply = await dryRun(context, control, { before, options });
      printWarnings(context, reply.warnings);
      const plan = await planOf(control, before, reply);
      if (options.format === "json") context.print(JSON.stringify(plan, undefined, 2));
      else printPlan(context, plan);
      const changes = plan.fields.length + plan.replacedTasks.length > 0;
      if (changes && options.detailedExitcode) context.exitCode = exitChanges;
    });
}

interface Wanted {
  readonly before: Service;
  readonly options: Options;
}

async function dryRun(
  context: Context,
  control: ControlClient,
  { before, options }: Wanted,
): Promise<UpdateServiceResponse> {
  const version = before.meta?.version;
  const request = { ref: before.id, dryRun: true, ...(version !== undefined && { version }) };
  if (options.rollback) return control.updateService({ ...request, rollback: true });
  const change = await specChange(context, control, options);
  const { spec } = before;
  return control.updateService({
    ...request,
    ...(spec !== undefined && { spec: await change(spec) }),
    queryRegistry: options.image !== undefined && options.resolveImage,
  });
}

interface Plan {
  readonly service: string;
  readonly fields: readonly FieldChange[];
  /** Names of tasks that would be replaced, or removed. */
  readonly replacedTasks: readonly string[];
}

async function planOf(
  control: ControlClient,
  before: Service,
  reply: UpdateServiceResponse,
): Promise<Plan> {
  const fields = fieldChanges(ServiceSpecSchema, before.spec, answered(reply).spec);
  const { replacedTaskIds } = reply;
  const tasks =
    replacedTaskIds.length === 0 ? [] : (await control.listTasks({ serviceRef: before.id })).tasks;
  const names = new Map(tasks.map((task) => [task.id, taskName(task)]));
  const replacedTasks = replacedTaskIds.map((id) => names.get(id) ?? id);
  return { service: serviceName(before), fields, replacedTasks };
}

function printPlan(context: Context, { service, fields, replacedTasks }: Plan): void {
  if (fields.length + replacedTasks.length === 0) {
    context.print(`service ${service} would not change`);
    return;
  }
  const paint = painter(context.io, context.io.stdout);
  context.print(`service ${service} would be updated`);
  for (const field of fields) {
    const words = visible(describeChange(field));
    context.print(`  ${paint(colours[words.slice(0, 1)] ?? "yellow", words)}`);
  }
  const shown = replacedTasks.slice(0, tasksMax).join(", ");
  const more =
    replacedTasks.length > tasksMax ? `, and ${replacedTasks.length - tasksMax} more` : "";
  const tasks = replacedTasks.length === 1 ? "1 task" : `${replacedTasks.length} tasks`;
  context.print(
    replacedTasks.length === 0
      ? "  no task would restart"
      : `  ${tasks} would be replaced or removed: ${shown}${more}`,
  );
}

const colours: Readonly<Record<string, Colour>> = { "+": "green", "-": "red" };
