/** Values of filters such as `dangling=true`, as Docker takes them. */
import { Fault } from "#proto/fault.ts";

export function isTrue(value: string): boolean {
  if (["true", "1"].includes(value)) return true;
  if (["false", "0"].includes(value)) return false;
  throw new Fault("invalid-argument", `Write true or false in place of "${value}"`);
}
