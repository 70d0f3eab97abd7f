/** A stack from a text, as tests write it: loaded without a file system, and converted. */
import { Fault } from "#proto/fault.ts";
import { loadCompose } from "../compose/load-compose.ts";
import { toStack } from "../convert/stack.ts";
import type { Stack } from "../stack.ts";

export interface StackSource {
  readonly name?: string;
  readonly file?: string;
  readonly text: string;
  readonly folder?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export function stackFrom(source: StackSource): Stack {
  const { name = "shop", file = "shop.yml", text, folder = "/", environment = {} } = source;
  const readText = (path: string) => {
    throw new Fault("not-found", `there is no ${path}`);
  };
  const compose = loadCompose([{ file, text }], { folder, environment, readText });
  return toStack({ name, ...compose });
}
