/** `inspect` of what is no object of the managers': plain objects as a JSON array, one a line, or as a template makes them. */
import type { Context } from "./context.ts";
import type { InspectOptions } from "./output/inspect.ts";
import { shownOn } from "./output/table.ts";
import { messageField } from "./output/message-value.ts";

export function printObjects(
  context: Context,
  { format }: InspectOptions,
  found: readonly object[],
): void {
  const print = (text: string) => context.print(shownOn(context.io.stdout, text));
  if (typeof format === "object") {
    for (const object of found) print(format.template.run(object, messageField));
  } else if (format === "json") {
    for (const object of found) print(JSON.stringify(object));
  } else {
    print(JSON.stringify(found, undefined, 2));
  }
}
