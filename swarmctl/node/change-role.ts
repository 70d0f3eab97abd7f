/** `node promote` and `node demote`: what each node shall be from now on. */
import type { Command } from "commander";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { changeNode } from "./change-node.ts";
import { resolveSelf } from "./self.ts";

export interface RoleChange {
  readonly to: NodeRole;
  /** What is said of a node by its reference. */
  readonly done: (ref: string) => string;
  readonly needless: (ref: string) => string;
}

export function defineRoleChange(command: Command, context: Context, change: RoleChange): void {
  command.argument("<node...>", 'IDs, prefixes of IDs, or hostnames; "self" is this host');
  command.action(async (refs: string[]) => {
    const control = await context.control();
    await forEachRef(context, refs, async (ref) => {
      const target = await resolveSelf(context, ref);
      const before = await changeNode(control, target, (spec) =>
        spec.desiredRole === change.to ? undefined : { ...spec, desiredRole: change.to },
      );
      const needless = (before.spec?.desiredRole ?? NodeRole.WORKER) === change.to;
      context.print(needless ? change.needless(ref) : change.done(ref));
    });
  });
}
