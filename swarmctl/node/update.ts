import type { Command } from "commander";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { NodeSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type Annotations,
  AnnotationsSchema,
  NodeAvailability,
  type NodeRole,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { flag, flags, type Pair, pair, recordOf, text } from "../flags/parse-flag.ts";
import { changeNode } from "./change-node.ts";
import { resolveSelf } from "./self.ts";
import { availability, role } from "./words.ts";

interface Options {
  readonly availability?: NodeAvailability;
  readonly force?: true;
  readonly role?: NodeRole;
  readonly labelAdd?: Pair[];
  readonly labelRm?: string[];
}

export function define(command: Command, context: Context): void {
  command
    .argument("<node>", 'ID, prefix of an ID, or hostname; "self" is this host')
    .option("--availability <word>", "active, pause or drain", flag(availability))
    .option("--force", "with --availability drain: stop its tasks at once, not as updates do")
    .option("--role <word>", "worker or manager", flag(role))
    .option("--label-add <key=value>", "add or change a label (repeat)", flags(pair))
    .option("--label-rm <key>", "remove a label (repeat)", flags(text))
    .action(async (ref: string, options: Options) => {
      if (options.force && options.availability !== NodeAvailability.DRAIN) {
        command.error("error: '--force' needs '--availability drain'");
      }
      const control = await context.control();
      const target = await resolveSelf(context, ref);
      await changeNode(control, target, (spec) => changed(spec, options));
      context.print(ref);
    });
}

function changed(spec: NodeSpec, options: Options): NodeSpec {
  return {
    ...spec,
    annotations: withLabels(spec.annotations ?? create(AnnotationsSchema), options),
    ...(options.availability !== undefined && {
      availability: options.availability,
      drainAtOnce: options.force ?? false,
    }),
    ...(options.role !== undefined && { desiredRole: options.role }),
  };
}

function withLabels(annotations: Annotations, { labelAdd, labelRm = [] }: Options): Annotations {
  const labels = { ...annotations.labels };
  for (const key of labelRm) {
    if (!Object.hasOwn(labels, key)) {
      throw new Fault("not-found", `key ${key} doesn't exist in node's labels`);
    }
    delete labels[key];
  }
  return { ...annotations, labels: { ...labels, ...recordOf(labelAdd) } };
}
