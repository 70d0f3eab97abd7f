/** A secret and a config get other data while services read them: they roll, the old data goes, and a rollback still works. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

const image = "registry:5000/busybox:1";
const timeoutMs = 30_000;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "rotation",
    managers: 1,
    workers: 1,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  view = await ClusterView.open(lab.host("h1"));
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

async function swarmctl(...args: readonly string[]): Promise<string> {
  return await lab.host("h1").run("swarmctl", args);
}

async function rotate(noun: "secret" | "config", name: string, input: string): Promise<string> {
  const said = await lab.host("h1").run("swarmctl", [noun, "rotate", name, "-"], { input });
  assert.ok(!said.includes(input));
  return said;
}

async function printed(service: string, wanted: string): Promise<void> {
  const look = async () => (await swarmctl("service", "logs", "--raw", service)).includes(wanted);
  await waitFor(`${service} to print "${wanted}"`, look, { timeoutMs });
}

const names = async (noun: "secret" | "config") =>
  (await swarmctl(noun, "ls", "--format", "{{.Name}}")).split("\n").filter(Boolean);

test("rotation: services roll to the new data, and the old goes when the last task that read it has", async () => {
  const h1 = lab.host("h1");
  await h1.run("swarmctl", ["secret", "create", "-l", "kind=password", "db", "-"], {
    input: "hunter1",
  });
  await h1.run("swarmctl", ["config", "create", "site", "-"], { input: "theme1" });
  const script = "echo $(cat /run/secrets/db /site); exec sleep 1000";
  const flags = ["--replicas=2", "--secret=db", "--config=site", "--stop-signal=KILL"];
  const updates = ["--update-monitor=100ms", "--rollback-monitor=100ms"];
  await swarmctl(
    "service",
    "create",
    "--name=web",
    ...flags,
    ...updates,
    image,
    "sh",
    "-c",
    script,
  );
  const tasks = new Set(view.running("web").map(({ id }) => id));
  assert.match(await rotate("secret", "db", "hunter1"), /db has this data already/);
  assert.deepEqual(new Set(view.running("web").map(({ id }) => id)), tasks);
  assert.match(await rotate("secret", "db", "hunter2"), /\ndb updates web\n/);
  await printed("web", "hunter2theme1");
  const gone = async () => (await names("secret")).join() === "db";
  await waitFor("the old secret to be gone", gone, { timeoutMs });
  assert.equal(await swarmctl("secret", "ls", "--format", '{{.Label "kind"}}'), "password\n");
  await rotate("config", "site", "theme2");
  await printed("web", "hunter2theme2");
  await waitFor("the old config to be gone", async () => (await names("config")).length === 1, {
    timeoutMs,
  });
});

test("rotation: a rollback of other things keeps the present data, where the old are gone", async () => {
  await swarmctl("service", "rollback", "web");
  assert.equal(view.running("web").length, 2);
  const refused = await lab.host("h1").exec("swarmctl", ["secret", "rm", "db"]);
  assert.match(refused.stderr, /Cannot remove secret "db": it is used by service "web"/);
  for (const word of ["hunter1", "hunter2"]) {
    for (const said of [
      await swarmctl("secret", "inspect", "db"),
      await swarmctl("service", "inspect", "web"),
    ]) {
      assert.ok(!said.includes(word) && !said.includes(btoa(word)));
    }
  }
});

test("rotation: data with which tasks fail are taken back, and the old stay while they are used", async () => {
  const script = '[ "$(cat /run/secrets/key)" != bad ] || exit 1; exec sleep 1000';
  await lab.host("h1").run("swarmctl", ["secret", "create", "key", "-"], { input: "good" });
  const flags = ["--secret=key", "--stop-signal=KILL", "--restart-max-attempts=1"];
  const updates = ["--update-failure-action=rollback", "--update-monitor=1s"];
  await swarmctl(
    "service",
    "create",
    "--name=app",
    ...flags,
    ...updates,
    image,
    "sh",
    "-c",
    script,
  );
  const { status, stderr } = await lab
    .host("h1")
    .exec("swarmctl", ["secret", "rotate", "key", "-"], { input: "bad" });
  assert.equal(status, 1);
  assert.match(stderr, /Service "app" has not converged: .*rolled back/);
  await view.until("the service to run again", () => view.running("app").length === 1, timeoutMs);
  const rotated = (await names("secret")).filter((name) => name.startsWith("key"));
  assert.equal(rotated.length, 2, "the service reads the old one");
  await rotate("secret", "key", "better");
  const gone = async () =>
    (await names("secret")).filter((n) => n.startsWith("key")).join() === "key";
  await waitFor("both old ones to be gone", gone, { timeoutMs });
});
