/** `inspect` of what is no object of the managers': plain objects as a JSON array, one a line, or as a template makes them. */
import type { Context } from "./context.ts";
import type { InspectOptions } from "./output/inspect.ts";
import { messageField } from "./output/message-value.ts";

export function printObjects(
  context: Context,
  { format }: InspectOptions,
  found: readonly object[],
): void {
  if (typeof format === "object") {
    for (const object of found) context.print(format.template.run(object, messageField));
  } else if (format === "json") {
    for (const object of found) context.print(JSON.stringify(object));
  } else {
    context.print(JSON.stringify(found, undefined, 2));
  }
}
