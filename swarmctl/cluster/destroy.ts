import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { ClusterFile } from "#provision/cluster-file/cluster-file.ts";
import {
  askCluster,
  type ClusterKnown,
  type DestroyPorts,
  destroy,
  lookAtHosts,
  refuseOtherName,
} from "#provision/destroy.ts";
import { type DestroyPlan, type LookedAt, planDestroy } from "#provision/plan-destroy.ts";
import type { Context } from "../context.ts";
import { formatTable, visible } from "../output/table.ts";
import { nodeName } from "../node-call.ts";
import { openClusterHosts } from "./cluster-hosts.ts";

interface Options {
  readonly file: string;
  readonly yes?: string;
  readonly keepPackage?: boolean;
  readonly dryRun?: boolean;
}

export function define(command: Command, context: Context): void {
  command
    .requiredOption("-f, --file <file>", "the cluster's file, as for apply")
    .option("--yes <name>", "do not ask: the name of the cluster, as the file has it")
    .option("--keep-package", "leave swarm installed, with its settings")
    .option("--dry-run", "show what would go, and change nothing")
    .action(async (options: Options) => {
      await using hosts = await openClusterHosts(context, options.file);
      const { signal } = context.io;
      const { file, remoteOf } = hosts;
      const onHost: DestroyPorts["onHost"] = ({ name }, what) => context.print(`${name}: ${what}`);
      await destroyCluster(context, file, { options, ports: { remoteOf, signal, onHost } });
    });
}

interface Work {
  readonly options: Options;
  readonly ports: DestroyPorts;
}

async function destroyCluster(
  context: Context,
  file: ClusterFile,
  { options, ports }: Work,
): Promise<void> {
  const wish = { keepPackage: options.keepPackage ?? false };
  const plan = planDestroy(await lookAtHosts(file.hosts, ports), wish);
  const going = [...plan.workers, ...plan.managers];
  if (going.length === 0 && plan.unreachable.length === 0) {
    context.print(`Nothing of cluster "${file.cluster}" is left on its hosts.`);
    return;
  }
  context.print(tableOf(plan));
  if (going.length > 0) {
    const known = await askCluster(plan, ports);
    refuseOtherName(known, file.cluster);
    printCost(context, plan, known);
    if (options.dryRun) return;
    await requireName(context, file.cluster, options.yes);
  }
  const leftovers = await destroy(plan, wish, ports);
  if (leftovers.length === 0) {
    await forgetContext(context, file.cluster, clusterIdOf(plan));
    context.print(`Cluster "${file.cluster}" is destroyed.`);
    return;
  }
  context.print(`\nOf cluster "${file.cluster}" something is left:`);
  for (const { host, what } of leftovers) context.print(`  ${host.name}: ${visible(what)}`);
  const again = "when that is mended run this again; or on the host itself, as root:";
  context.print(
    `${again}\n  swarmctl cluster leave --force; sh /usr/lib/swarm/install.sh --remove --purge`,
  );
  context.exitCode = 1;
}

function tableOf({ workers, managers, blank, unreachable }: DestroyPlan): string {
  const row = ({ host, remains }: LookedAt, role: string, what: string) => {
    return [host.name, role, remains?.version ?? "", what];
  };
  return formatTable(
    ["HOST", "ROLE", "VERSION", ""],
    [
      ...workers.map((one) => row(one, "worker", "goes")),
      ...managers.map((one) => row(one, "manager", "goes")),
      ...blank.map((one) => row(one, "", "has nothing")),
      ...unreachable.map((one) => row(one, "", `stays: ${one.fault?.message ?? ""}`)),
    ],
  );
}

/** What users could miss afterwards. */
function printCost(context: Context, plan: DestroyPlan, known: ClusterKnown | undefined): void {
  context.print("All its services, containers, volumes, images, secrets and keys go, for good.");
  const unreachable = new Set(plan.unreachable.map(({ host }) => host.address));
  const outsiders = (known?.outsiders ?? []).filter(
    ({ status }) => !unreachable.has(status?.address ?? ""),
  );
  if (outsiders.length > 0) {
    const names = outsiders.map(nodeName).join(", ");
    const end = 'end them there with "swarmctl cluster leave --force"';
    context.print(`Not in the file, and left without managers: ${names}; ${end}.`);
  }
  const folder = known?.backupFolder;
  if (folder === undefined) return;
  const goes = `${folder}/`.startsWith("/var/lib/swarm/");
  context.print(`Backups in ${folder} on the managers ${goes ? "go, too" : "stay"}.`);
}

async function requireName(
  { io }: Context,
  name: string,
  given: string | undefined,
): Promise<void> {
  if (given === undefined) io.stderr.write(`Type the cluster's name, ${name}, to destroy it: `);
  const typed = given ?? (await readLine(io.stdin));
  if (typed === name) return;
  const message = `Nothing was destroyed: "${visible(typed)}" is not the cluster's name, which is "${name}"`;
  throw new Fault("failed-precondition", message);
}

async function readLine(stdin: Context["io"]["stdin"]): Promise<string> {
  let text = "";
  for await (const chunk of stdin) {
    text += chunk.toString();
    if (text.includes("\n")) break;
  }
  return text.split("\n", 1)[0]?.trim() ?? "";
}

function clusterIdOf({ workers, managers }: DestroyPlan): string | undefined {
  const nodes = [...managers, ...workers].map(({ remains }) => remains?.node);
  return nodes.find((node) => node !== undefined)?.clusterId;
}

/** The way to it that apply has saved leads nowhere any more. */
async function forgetContext(context: Context, name: string, id: string | undefined) {
  const contexts = context.contexts();
  if (!(await contexts.names()).includes(name)) return;
  if ((await contexts.load(name)).clusterId !== id) return;
  if ((await contexts.current()) === name) await contexts.use(undefined);
  await contexts.remove(name);
  context.print(`Context "${name}" is removed.`);
}
