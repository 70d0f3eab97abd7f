import type { Context } from "../context.ts";

/** How users name the host that they are on. */
export const selfRef = "self";

export async function resolveSelf(context: Context, ref: string): Promise<string> {
  if (ref !== selfRef) return ref;
  const swarmd = await context.node();
  return (await swarmd.getInfo({})).nodeId;
}
