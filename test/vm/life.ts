/**
 * What happens to a cluster in its life, as an operator does it from his own host, with what must be so afterwards. Each part
 * begins with a stack that runs on all machines of the site, and leaves one.
 */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { waitFor } from "#lab/wait.ts";
import type { Machine } from "./machine.ts";
import {
  applyTimeoutMs,
  clusterName,
  nodes,
  swarmctl,
  untilReady,
  untilRunning,
  writeClusterFile,
} from "./operator.ts";
import { Prober } from "./prober.ts";
import type { Site } from "./site.ts";
import { publishedPort, stackFile, stackName } from "./stack.ts";

const answerTimeoutMs = 180_000;

const nothingToDo = /^Nothing to do\.$/m;

/** From hosts that have nothing of ours to a stack that answers; resolves to the seconds that it took. */
export async function applyFromNothing(
  site: Site,
  {
    machines,
    packageFile,
  }: { readonly machines: readonly Machine[]; readonly packageFile: string },
): Promise<number> {
  const file = await writeClusterFile(site, { machines });
  const startedMs = performance.now();
  await apply(site, file, "--package", packageFile);
  await deployStack(site);
  const seconds = (performance.now() - startedMs) / 1000;
  await untilReady(site, machines);
  await untilRunning(site);
  const rows = await nodes(site);
  assert.equal(rows.filter(({ ManagerStatus }) => ManagerStatus === "Leader").length, 1);
  const contexts = await swarmctl(site, ["context", "ls"]);
  assert.match(contexts, new RegExp(`${clusterName} \\*`), "apply leaves a context in use");
  const link = await machines[0]?.run("ip -d link show sw-wg0");
  assert.match(link ?? "", /^\s+wireguard /m, "the kernel's own WireGuard carries the link");
  assert.equal(await machines[0]?.run("pgrep -c wireguard-go || true"), "0\n");
  await answersEverywhere(site, machines);
  return seconds;
}

export async function applyAgainChangesNothing(
  site: Site,
  machines: readonly Machine[],
): Promise<void> {
  const file = await writeClusterFile(site, { machines });
  const before = await containers(machines);
  assert.match(await apply(site, file), nothingToDo);
  assert.deepEqual(await containers(machines), before);
}

/** In good order, one after the other, while somebody asks through those of the cluster that are up. */
export async function reboot(
  site: Site,
  {
    machines,
    cluster,
  }: { readonly machines: readonly Machine[]; readonly cluster: readonly Machine[] },
): Promise<void> {
  await using prober = await Prober.start(site, cluster);
  for (const machine of machines) {
    await prober.leaveOut(machine);
    await machine.reboot();
    await untilReady(site, cluster);
    await untilAnswers(site, machine);
    await prober.takeIn(machine);
    await untilRunning(site);
  }
  const { answered, failures } = await prober.stop();
  assert.deepEqual(failures, []);
  assert(answered > 100, `${answered} answers`);
}

export interface UpgradeOptions {
  readonly machines: readonly Machine[];
  readonly packageFile: string;
  readonly version: string;
}

/** Under load, with every container that ran before running on. */
export async function upgrade(
  site: Site,
  { machines, packageFile, version }: UpgradeOptions,
): Promise<void> {
  const file = await writeClusterFile(site, { machines });
  const before = await containers(machines);
  await using prober = await Prober.start(site, machines);
  const args = ["cluster", "upgrade", "-f", file, "--package", packageFile, "--yes"];
  await swarmctl(site, [...args, "--timeout", "15m"], { timeoutMs: applyTimeoutMs });
  const { answered, failures } = await prober.stop();
  assert.deepEqual(failures, []);
  assert(answered > 100, `${answered} answers`);
  await untilReady(site, machines);
  assert.deepEqual(
    (await nodes(site)).map(({ EngineVersion }) => EngineVersion),
    machines.map(() => version),
  );
  assert.deepEqual(await containers(machines), before, "containers run on");
}

export async function apply(site: Site, file: string, ...args: readonly string[]): Promise<string> {
  const options = { timeoutMs: applyTimeoutMs };
  return await swarmctl(site, ["cluster", "apply", "-f", file, ...args], options);
}

async function deployStack(site: Site): Promise<void> {
  const file = join(site.files.folder, "stack.yml");
  await writeFile(file, stackFile);
  await swarmctl(site, ["stack", "deploy", "-c", file, stackName], { timeoutMs: applyTimeoutMs });
}

/** Resolves when the machine answers for the stack: whoever shares requests out among hosts looks first. */
async function untilAnswers(site: Site, { name, address }: Machine): Promise<void> {
  const url = `http://${address}:${publishedPort}/cgi-bin/ask`;
  const answers = async () => {
    const { status, stdout } = await site.operate("curl", ["-fsS", "-m", "20", url]);
    return status === 0 && stdout !== "";
  };
  await waitFor(`${name} to answer`, answers, { timeoutMs: answerTimeoutMs });
}

/** That each machine answers for the stack. */
export async function answersEverywhere(site: Site, machines: readonly Machine[]): Promise<void> {
  await using prober = await Prober.start(site, machines);
  await prober.answers(3 * machines.length);
  const { failures } = await prober.stop();
  assert.deepEqual(failures, []);
}

/** Of a process: its number and the moment of its start, in clock ticks since boot (proc(5), field 22). */
export function startOf(pid: string): string {
  return `awk '{ print $1, $22 }' /proc/${pid}/stat`;
}

/** The processes of all containers, by machine: each with the moment of its start. */
async function containers(machines: readonly Machine[]): Promise<Readonly<Record<string, string>>> {
  const script = `for f in $(pgrep -x httpd); do ${startOf("$f")}; done | sort`;
  const found = machines.map(async (machine) => [machine.name, await machine.run(script)]);
  return Object.fromEntries(await Promise.all(found));
}
