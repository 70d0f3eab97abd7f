/** What a deployment would change, as people read it: an object and its fields, then the tasks that would be replaced. */
import { diffStack, type ObjectChange } from "#stacks/diff-stack.ts";
import { describeChange } from "#stacks/field-changes.ts";
import type { DeploySettings } from "#stacks/plan-deploy.ts";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { taskName } from "../service/words.ts";
import type { LoadedStack } from "./load-stack.ts";

/** As diff(1) has it: 0 where nothing would change, 1 where something would, 2 where that cannot be said. */
const [exitDiffers, exitTrouble] = [1, 2];

/** More tasks than these are counted. */
const tasksMax = 10;

export interface StackDiffOptions extends DeploySettings {
  readonly format: "text" | "json";
  readonly quiet?: true;
}

/** `open`: reads the stack; what is wrong with it is trouble, too. */
export async function printDiff(
  context: Context,
  open: () => Promise<LoadedStack>,
  options: StackDiffOptions,
): Promise<void> {
  try {
    const { stack, read } = await open();
    const control = await context.control();
    const { signal } = context.io;
    const changes = await diffStack(control, stack, { ...options, read, signal });
    if (changes.length > 0) context.exitCode = exitDiffers;
    if (options.quiet) return;
    const names = new Map<string, string>();
    for (const { name } of changes.filter(({ taskIds }) => taskIds.length > 0)) {
      const { tasks } = await control.listTasks({ serviceRef: name });
      for (const task of tasks) names.set(task.id, taskName(task));
    }
    if (options.format === "json") {
      const shown = changes.map(({ taskIds, ...change }) => ({
        ...change,
        replacedTasks: taskIds.map((id) => names.get(id) ?? id),
      }));
      context.print(JSON.stringify(shown, undefined, 2));
    } else for (const change of changes) printChange(context, change, names);
  } catch (thrown) {
    if (!(thrown instanceof Fault) || context.io.signal.aborted) throw thrown;
    context.io.stderr.write(`swarmctl: ${thrown.message}\n`);
    context.exitCode = exitTrouble;
  }
}

function printChange(
  context: Context,
  { noun, name, change, fields, taskIds }: ObjectChange,
  names: ReadonlyMap<string, string>,
): void {
  context.print(`${noun} ${name} would be ${change}`);
  for (const field of fields) context.print(`  ${describeChange(field)}`);
  if (taskIds.length === 0) return;
  const shown = taskIds.slice(0, tasksMax).map((id) => names.get(id) ?? id);
  const more = taskIds.length > tasksMax ? `, and ${taskIds.length - tasksMax} more` : "";
  const what = change === "removed" ? "removed" : "replaced";
  const tasks = taskIds.length === 1 ? "1 task" : `${taskIds.length} tasks`;
  context.print(`  ${tasks} would be ${what}: ${shown.join(", ")}${more}`);
}
