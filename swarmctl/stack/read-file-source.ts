/** What a stack's secrets and configs hold: from a file beside the stack file, a variable, or the stack file itself. */
import { resolve } from "node:path";
import { Fault } from "#proto/fault.ts";
import { withEnvFile } from "#stacks/compose/env-files.ts";
import type { LoadOptions } from "#stacks/compose/load-compose.ts";
import { readDotenv } from "#stacks/compose/load-project.ts";
import type { StackFileSource } from "#stacks/stack.ts";
import type { Io } from "../io.ts";
import { readBytes } from "../read-file.ts";

export async function readFileSource(
  io: Io,
  { folder, environment, readText }: LoadOptions,
  { name, from }: StackFileSource,
): Promise<Uint8Array> {
  if ("file" in from) return await readBytes(io, resolve(folder, from.file));
  if ("content" in from) return Buffer.from(from.content);
  const shell = (variable: string) => environment[variable];
  const value = withEnvFile(shell, readDotenv(folder, readText))(from.environment);
  if (value !== undefined) return Buffer.from(value);
  const message = `The variable "${from.environment}", from which "${name}" shall come, is not set`;
  throw new Fault("invalid-argument", message);
}
