import { toJson } from "@bufbuild/protobuf";
import { TimestampSchema, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../../context.ts";
import { addInspectFlags, type InspectOptions } from "../../output/inspect.ts";
import { messageField } from "../../output/message-value.ts";
import { shownOn } from "../../output/table.ts";
import { stateWord } from "../../node/words.ts";
import { judge, managersOf, type Verdict } from "./problems.ts";
import { type Health, type Host, readHealth } from "./read-health.ts";
import { screenOf } from "./screen.ts";

interface Options extends InspectOptions {
  readonly all?: boolean;
}

export function define(command: Command, context: Context): void {
  addInspectFlags(command)
    .option("-a, --all", "a line for every host, also where there are many")
    .action(async ({ format, all = false }: Options) => {
      const health = await readHealth(context);
      const verdict = judge(health);
      const print = (text: string) => context.print(shownOn(context.io.stdout, text));
      if (format === undefined) print(screenOf(health, verdict, { all }));
      else if (typeof format === "object") {
        print(format.template.run(valueOf(health, verdict), messageField));
      } else print(JSON.stringify(valueOf(health, verdict)));
      if (verdict.problems.length > 0) context.exitCode = 1;
    });
}

/** For programs. What is not known is null. */
function valueOf(health: Health, { problems, notes }: Verdict) {
  const { cluster, hosts } = health;
  const { all, reachable, quorum, leader } = managersOf(health);
  return {
    id: cluster?.id ?? "",
    name: cluster?.spec?.annotations?.name ?? "",
    healthy: problems.length === 0,
    managers: { count: all.length, reachable, quorum, leader: leader?.name ?? null },
    hosts: hosts.map(hostValue),
    problems: problems.map(({ host = null, problem, mend }) => ({ host, problem, mend })),
    notes,
  };
}

function hostValue({ node, name, state }: Host) {
  const { managerStatus, description } = node;
  const { backup } = managerStatus ?? {};
  return {
    id: node.id,
    name,
    role: node.role === NodeRole.MANAGER ? "manager" : "worker",
    status: stateWord(node.status).toLowerCase(),
    leader: managerStatus?.leader ?? false,
    version: description?.engine?.engineVersion ?? "",
    certificateExpiresAt: moment(description?.tls?.notAfter),
    clockOffsetMs: state === undefined ? null : Math.round(state.clockOffsetMs),
    diskBytes: state?.diskBytes ?? null,
    diskFreeBytes: state?.diskFreeBytes ?? null,
    lastBackupAt: moment(backup?.takenAt),
    lastBackup: backup?.path ?? null,
    backupError: backup?.error ?? null,
  };
}

function moment(at: Timestamp | undefined) {
  return at === undefined ? null : toJson(TimestampSchema, at);
}
