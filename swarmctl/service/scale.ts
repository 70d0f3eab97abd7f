import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Context } from "../context.ts";
import { flags, splitAt, wholeNumber } from "../flags/parse-flag.ts";
import { forEachRef } from "../for-each-ref.ts";
import { changeService, withReplicas } from "./change-service.ts";
import { addConvergeFlags, type ConvergeOptions, converge, withJobTimeout } from "./converge.ts";

interface Scale {
  readonly ref: string;
  readonly replicas: bigint;
}

export function define(command: Command, context: Context): void {
  command.argument("<service=replicas...>", "services and how many tasks each", flags(parseScale));
  addConvergeFlags(command).action(async (scales: Scale[], options: ConvergeOptions) => {
    const control = await context.control();
    const replicasOf = new Map(scales.map(({ ref, replicas }) => [ref, replicas]));
    const scaled: Service[] = [];
    await forEachRef(context, [...replicasOf.keys()], async (ref) => {
      const replicas = replicasOf.get(ref) ?? 0n;
      const change = (spec: ServiceSpec) => withReplicas(spec, replicas);
      scaled.push(await changeService(control, ref, change, { scale: true }));
      context.print(`${ref} scaled to ${replicas}`);
    });
    if (options.detach) return;
    for (const service of scaled) {
      await converge(context, control, service, withJobTimeout(command, service, options));
    }
  });
}

function parseScale(text: string): Scale {
  const [ref, count] = splitAt(text, "=");
  if (ref === "" || count === undefined) {
    throw new Fault("invalid-argument", "Write service=replicas, such as web=3");
  }
  return { ref, replicas: wholeNumber(count) };
}
