/** `inspect` of every noun: the objects as one JSON array, each missing one named, exit 1 if any is missing. */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";

export async function inspectEach<D extends DescMessage>(
  context: Context,
  schema: D,
  refs: readonly string[],
  get: (ref: string) => Promise<MessageShape<D> | undefined>,
): Promise<void> {
  const found: MessageShape<D>[] = [];
  try {
    await forEachRef(context, refs, async (ref) => {
      const object = await get(ref);
      if (object !== undefined) found.push(object);
    });
  } finally {
    context.print(
      JSON.stringify(
        found.map((object) => toJson(schema, object)),
        undefined,
        2,
      ),
    );
  }
}
