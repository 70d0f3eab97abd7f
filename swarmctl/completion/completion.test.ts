import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { aService, aServiceSpec, aTask } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";
import { scripts, type Shell } from "./scripts.ts";

const run = promisify(execFile);
const main = fileURLToPath(import.meta.resolve("../main.ts"));
const timeout = 30_000;

/** Two services, of which "web" has a task, and nodes h1 and h2. */
async function open(): Promise<FakeCluster> {
  const control = new FakeControl();
  for (const name of ["web", "db"]) {
    const service = aService(aServiceSpec(name));
    control.services.set(service.id, service);
  }
  const web = aService(aServiceSpec("web"));
  const listTasks = async () => ({
    tasks: [aTask(web, { slot: 1n, state: TaskState.RUNNING })],
  });
  return await FakeCluster.open({ control: { ...control.handlers, listTasks } });
}

/** What may stand in place of the last word. */
async function completed(
  cluster: FakeCluster | { readonly runRoot: string },
  line: string,
): Promise<readonly string[]> {
  const { code, stdout, stderr } = await runCli(cluster, ["__complete", "--", ...line.split(" ")]);
  assert.deepEqual([code, stderr], [0, ""]);
  return stdout.split("\n").flatMap((one) => (one === "" ? [] : [one.split("\t")[0] ?? ""]));
}

describe("completion", () => {
  const lines: readonly [string, readonly string[]][] = [
    ["clu", ["cluster"]],
    ["node p", ["ps", "promote"]],
    ["help node p", ["ps", "promote"]],
    ["swarm in", ["init", "info"]],
    ["node update --avail", ["--availability"]],
    ["node update --availability ", ["active", "pause", "drain"]],
    ["node update --availability d", ["drain"]],
    ["node update --role=", ["--role=worker", "--role=manager"]],
    ["node update --role worker ", ["h1", "h2"]],
    ["--context x node inspect h", []],
    ["node ls --filter r", ["role="]],
    ["cluster update --scheduling-strategy ", ["spread", "binpack"]],
    ["cluster join-token ", ["worker", "manager"]],
    ["service ps ", ["db", "web"]],
    ["service ps web ", ["db"]],
    ["service scale w", ["web="]],
    ["exec ", ["web.1"]],
    ["stack deploy -c ", [":files"]],
    ["completion f", ["fish"]],
    ["nothing of the kind ", []],
  ];
  for (const [line, expected] of lines) {
    it(`of "${line}"`, async () => {
      await using cluster = await open();
      assert.deepEqual(await completed(cluster, line), expected);
    });
  }

  it("is silent where no manager answers", async () => {
    const nowhere = { runRoot: "/nowhere" };
    assert.deepEqual(await completed(nowhere, "service ps "), []);
    assert.deepEqual(await completed(nowhere, "node upd"), ["update"]);
  });
});

/** A shell that knows swarmctl and has loaded its completion. */
async function inShell(cluster: FakeCluster, shell: Shell, script: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "completion-"));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const program = join(folder, "swarmctl");
  await writeFile(program, `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
  await chmod(program, 0o755);
  await writeFile(join(folder, "script"), scripts[shell]);
  const env = {
    PATH: `${folder}:${process.env["PATH"]}`,
    HOME: folder,
    SWARM_RUN_ROOT: cluster.runRoot,
  };
  const bare = { bash: ["--norc", "--noprofile"], zsh: ["--no-rcs"], fish: ["--no-config"] };
  const words = [...bare[shell], "-c", `source ${folder}/script\n${script}`];
  const { stdout } = await run(shell, words, { env, cwd: folder, timeout });
  return stdout.trim();
}

describe("completion in a shell", () => {
  // As readline calls it, with the words that bash makes of the line.
  const bash = (line: string, words: readonly string[]) =>
    `COMP_LINE='${line}' COMP_POINT=\${#COMP_LINE} COMP_CWORD=${words.length - 1}
     COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")})
     _swarmctl; echo "\${COMPREPLY[*]}"`;

  it("bash, of verbs, names and values behind an equals sign", async () => {
    await using cluster = await open();
    const ask = (line: string, words: readonly string[]) =>
      inShell(cluster, "bash", bash(line, words));
    assert.equal(await ask("swarmctl node prom", ["swarmctl", "node", "prom"]), "promote");
    assert.equal(await ask("swarmctl service ps ", ["swarmctl", "service", "ps", ""]), "db web");
    const assigned = ["swarmctl", "node", "update", "--role", "=", "w"];
    assert.equal(await ask("swarmctl node update --role=w", assigned), "worker");
    assert.match(await inShell(cluster, "bash", "complete -p swarmctl"), /-F _swarmctl swarmctl/);
  });

  it("zsh, of what it hands to its own functions", async () => {
    await using cluster = await open();
    const stub =
      "_describe() { print -rl -- ${(P)2} }; compadd() { print -rl -- ${(P)2} }; compdef() {}";
    const ask = (words: string) =>
      inShell(cluster, "zsh", `${stub}\nwords=(${words}); CURRENT=$#words; _swarmctl`);
    assert.equal(await ask("swarmctl node prom"), "promote:Make nodes managers");
    assert.equal(await ask("swarmctl service ps ''"), "db\nweb");
  });

  it("fish, as it completes a line", async () => {
    await using cluster = await open();
    const ask = (line: string) => inShell(cluster, "fish", `complete --do-complete '${line}'`);
    assert.equal(await ask("swarmctl node prom"), "promote\tMake nodes managers");
    assert.equal(await ask("swarmctl service ps "), "db\nweb");
  });
});
