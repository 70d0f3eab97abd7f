import type { Command } from "commander";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { defineRoleChange } from "./change-role.ts";

export function define(command: Command, context: Context): void {
  defineRoleChange(command, context, {
    to: NodeRole.WORKER,
    done: (ref) => `Manager ${ref} demoted in the swarm.`,
    needless: (ref) => `Node ${ref} is already a worker.`,
  });
}
