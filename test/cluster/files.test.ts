/** What containers find in their file system that is not their image's: volumes, secrets, configs. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";

const image = "registry:5000/busybox:1";
const timeoutMs = 30_000;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "files",
    managers: 1,
    workers: 1,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  view = await ClusterView.open(lab.host("h1"));
  // Volumes are each host's own: everything runs on one.
  await swarmctl("node", "update", "--availability", "drain", "h1");
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

async function swarmctl(...args: readonly string[]): Promise<string> {
  return await lab.host("h1").run("swarmctl", args);
}

async function printed(service: string, wanted: string): Promise<string> {
  const look = async () => {
    const log = await swarmctl("service", "logs", "--raw", service);
    return log.includes(wanted) && log;
  };
  return await waitFor(`${service} to print "${wanted}"`, look, { timeoutMs });
}

test("secrets and configs are files of the containers, and stay while services use them", async () => {
  const h1 = lab.host("h1");
  await h1.run("swarmctl", ["secret", "create", "db", "-"], { input: "hunter2" });
  await h1.run("swarmctl", ["config", "create", "--template-driver=golang", "site", "-"], {
    input: "{{.Service.Name}} {{.Node.Hostname}} {{.Task.Slot}}",
  });
  const script = "cat /run/secrets/db /etc/site; stat -c %a:%u /run/secrets/db; exec sleep 1000";
  const flags = [
    "--secret=source=db,target=db,uid=7,mode=0400",
    "--config=source=site,target=/etc/site",
    "--stop-signal=KILL",
  ];
  await swarmctl("service", "create", "-d", "--name=reads", ...flags, image, "sh", "-c", script);
  const log = await printed("reads", ":7\n");
  assert.equal(log, "hunter2reads h2 1400:7\n");
  const shown = await swarmctl("secret", "inspect", "db");
  assert.ok(!shown.includes("hunter2") && !shown.includes(btoa("hunter2")));
  const refused = await h1.exec("swarmctl", ["secret", "rm", "db"]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /Cannot remove secret "db": it is used by service "reads"/);
  assert.match(await lab.host("h2").run("cat", ["/proc/mounts"]), /tmpfs \S+\/secrets tmpfs/);
  await swarmctl("service", "rm", "reads");
  await swarmctl("secret", "rm", "db");
  await view.until("the task to be gone", () => view.running("reads").length === 0, timeoutMs);
  const gone = async () =>
    !(await lab.host("h2").run("cat", ["/proc/mounts"])).includes("/secrets tmpfs");
  await waitFor("the memory of secrets to be free", gone, { timeoutMs });
});

test("a named volume keeps its data over an update, is not removed while used, and is pruned after", async () => {
  const script = "echo line >>/data/log; wc -l </data/log; exec sleep 1000";
  const flags = ["--mount=source=kept,target=/data", "--stop-signal=KILL"];
  await swarmctl("service", "create", "-d", "--name=keeps", ...flags, image, "sh", "-c", script);
  await printed("keeps", "1\n");
  assert.match(await swarmctl("volume", "ls"), /^h2 +local +kept$/m);
  await swarmctl("service", "update", "-d", "--force", "keeps");
  await printed("keeps", "2\n");
  const refused = await lab.host("h1").exec("swarmctl", ["volume", "rm", "--node=h2", "kept"]);
  assert.match(refused.stderr, /Cannot remove volume "kept": task \w+ has it/);
  assert.match(await swarmctl("volume", "prune", "-af"), /^Total reclaimed space: 0B\n$/);
  await swarmctl("service", "rm", "keeps");
  const prune = async () => (await swarmctl("volume", "prune", "-af")).includes("kept\n");
  await waitFor("the volume to be free", prune, { timeoutMs });
  assert.equal(await swarmctl("volume", "ls", "-q"), "");
});

test("a mount that cannot be is refused by its node, in words", async () => {
  const mount = "--mount=type=bind,source=/not/there,target=/x";
  await swarmctl("service", "create", "-d", "--name=bad", mount, image, "true");
  const rejected = await view.until(
    "the task to be rejected",
    () => [...view.tasks("bad")].find(({ status }) => status?.state === TaskState.REJECTED),
    timeoutMs,
  );
  assert.match(
    rejected.status?.err ?? "",
    /the bind source "\/not\/there" does not exist on this node/,
  );
  await swarmctl("service", "rm", "bad");
});

test("a stack brings its volumes, secrets and configs, is unchanged the second time, and rotates what changed", async () => {
  const file = (password: string) => `
services:
  app:
    image: ${image}
    command: sh -c "cat /run/secrets/password /conf; echo; exec sleep 1000"
    stop_grace_period: 1s
    volumes: ["data:/data", "/tmp:/host:ro"]
    secrets: [password]
    configs: [conf]
volumes: { data: { labels: { kind: test } } }
secrets: { password: { content: ${password} } }
configs: { conf: { content: "slot {{.Task.Slot}}", template_driver: golang } }
`;
  const deploy = (password: string) =>
    lab.host("h1").exec("swarmctl", ["stack", "deploy", "-c", "-", "shop"], {
      input: file(password),
    });
  const first = await deploy("hunter2");
  assert.match(first.stdout, /Creating secret shop_password\nCreating config shop_conf\n/);
  await printed("shop_app", "hunter2slot 1\n");
  assert.equal((await deploy("hunter2")).stdout, "Service shop_app is unchanged\n");
  assert.match((await deploy("other")).stdout, /^Rotating secret shop_password$/m);
  await printed("shop_app", "otherslot 1\n");
  assert.match(await swarmctl("volume", "ls", "--filter", "label=kind"), /shop_data/);
  await swarmctl("stack", "rm", "shop");
  assert.equal(await swarmctl("secret", "ls", "-q"), "");
});
