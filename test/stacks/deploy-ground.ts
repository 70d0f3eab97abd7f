/** Stacks against the control API of a real manager in memory. No node is there: nothing runs. */
import type { ControlGround } from "#manager/control/testing/control-ground.ts";
import { openControl } from "#manager/control/testing/control-ground.ts";
import { systemClock } from "#proto/system-ports.ts";
import { deployStack } from "#stacks/deploy-stack.ts";
import { diffStack, type ObjectChange } from "#stacks/diff-stack.ts";
import type { ResolveMode } from "#stacks/plan-services.ts";
import { removeLeftovers } from "#stacks/remove-leftovers.ts";
import { removeStack } from "#stacks/remove-stack.ts";
import type { Stack, StackFileSource } from "#stacks/stack.ts";
import { stackFrom } from "#stacks/testing/stack-from.ts";

interface DiffSettings {
  readonly name?: string;
  readonly prune?: boolean;
  readonly resolveImage?: ResolveMode;
}

export class DeployGround {
  readonly control: ControlGround = openControl();
  /** By the name of its file. */
  readonly files = new Map<string, string>();
  readonly steps: string[] = [];
  readonly warnings: string[] = [];

  /** What was said of it, a line each. */
  async deploy(
    text: string,
    { name = "shop", prune = false, client = this.control.client } = {},
  ): Promise<readonly string[]> {
    const { signal } = new AbortController();
    const said: string[] = [];
    const tell = {
      clock: systemClock,
      signal,
      onStep: (line: string) => said.push(line),
      onWarnings: (lines: readonly string[]) => this.warnings.push(...lines),
    };
    const settings = { ...tell, prune, resolveImage: "never", read: this.#read } as const;
    const { leftovers } = await deployStack(client, this.#stack(name, text), settings);
    await removeLeftovers(client, leftovers, tell);
    return said;
  }

  async remove(name = "shop"): Promise<readonly string[]> {
    const said: string[] = [];
    const { signal } = new AbortController();
    const onStep = (line: string) => said.push(line);
    const options = { clock: systemClock, signal, onStep, wait: true };
    await removeStack(this.control.client, name, options);
    return said;
  }

  async diff(
    text: string,
    { name = "shop", prune = false, resolveImage = "never" }: DiffSettings = {},
  ): Promise<ObjectChange[]> {
    const settings = { prune, resolveImage, read: this.#read };
    return await diffStack(this.control.client, this.#stack(name, text), settings);
  }

  /** Names by kind, with the versions that the objects have: whether anything was written is seen here. */
  get objects(): Readonly<Record<string, string>> {
    const { store } = this.control;
    const kinds = ["service", "network", "secret", "config"] as const;
    return Object.fromEntries(
      kinds.flatMap((kind) =>
        store
          .list(kind)
          .map(({ spec, meta }) => [
            `${kind} ${spec?.annotations?.name}`,
            `${meta?.version?.index}`,
          ]),
      ),
    );
  }

  get names(): string[] {
    return Object.keys(this.objects).toSorted();
  }

  #stack(name: string, text: string): Stack {
    return stackFrom({ name, text, folder: "/" });
  }

  readonly #read = async ({ from }: StackFileSource): Promise<Uint8Array> => {
    if ("content" in from) return Buffer.from(from.content);
    return Buffer.from(
      "file" in from ? (this.files.get(from.file) ?? "nothing") : from.environment,
    );
  };
}
