/** Images that cannot be had, as a user meets it: the task says why, in full, and runs by itself once it can. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { damageBlob, pushImage } from "./pushed-image.ts";
import { untilNothingRemains } from "./remains.ts";

const busybox = "registry:5000/busybox:1";
const imageFolder = "/var/lib/swarm/agent/image";

let lab: Lab;
let host: Host;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({ name: "image-faults", ownedByThisProcess: true });
  host = lab.host("h1");
  view = await ClusterView.open(host);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

/** After each fault the host has nothing more than before it. */
afterEach(async () => {
  const services = await host.run("swarmctl", ["service", "ls", "-q"]);
  if (services !== "")
    await host.run("swarmctl", ["service", "rm", ...services.trim().split("\n")]);
  await untilNothingRemains(lab);
});

async function create(name: string, image: string, command = ["sleep", "1000"]): Promise<void> {
  const flags = ["-d", "--name", name, "--restart-delay", "200ms", "--stop-grace-period", "1s"];
  // The node is the one that meets the fault, and not the manager before it.
  flags.push("--no-resolve-image");
  await host.run("swarmctl", ["service", "create", ...flags, image, ...command]);
}

/** Waits until a task of the service has failed for this reason, and looks that the user is told it in full. */
async function untilSays(
  service: string,
  reason: string | RegExp,
  timeoutMs = 5_000,
): Promise<void> {
  const error = () =>
    view
      .tasks(service)
      .map(({ status }) => status?.err ?? "")
      .find((err) => err !== "");
  const said = await view.until(`a task of ${service} to fail`, error, timeoutMs);
  if (typeof reason === "string") assert.equal(said, reason);
  else assert.match(said, reason);
  const shown = await host.run("swarmctl", ["service", "ps", "--no-trunc", service]);
  assert.ok(shown.includes(`"${said}"\n`), shown);
}

async function untilRuns(service: string, timeoutMs = 10_000): Promise<void> {
  await view.until(`${service} to run`, () => view.running(service).length === 1, timeoutMs);
}

async function pulled(reference: string): Promise<boolean> {
  return (await host.run("cat", [`${imageFolder}/index.json`])).includes(reference);
}

test("an image that the registry does not have", async () => {
  await create("unknown", "registry:5000/nosuch:1");
  const reason = 'the registry "registry:5000" has no image "nosuch"';
  await untilSays("unknown", `Cannot pull image "registry:5000/nosuch:1": ${reason}`);
  const states = view.tasks("unknown").map(({ status }) => status?.state);
  assert.ok(states.includes(TaskState.REJECTED));
});

test("a tag that the image does not have", async () => {
  await create("untagged", "registry:5000/busybox:2");
  const reason = 'the registry "registry:5000" has no tag "2" of image "busybox"';
  await untilSays("untagged", `Cannot pull image "registry:5000/busybox:2": ${reason}`);
});

test("who waits for the service is told why it does not come up", async () => {
  const flags = ["--name", "waited", "--restart-delay", "200ms", "--quiet", "--timeout", "1s"];
  flags.push("--no-resolve-image");
  const image = "registry:5000/nosuch:1";
  const { status, stderr } = await host.exec("swarmctl", ["service", "create", ...flags, image]);
  assert.equal(status, 1);
  assert.equal(
    stderr,
    'swarmctl: Service "waited" has not converged: after 1 s 0 of 1 tasks run (waited.1: Cannot pull image ' +
      `"${image}": the registry "registry:5000" has no image "nosuch"); the cluster goes on trying\n`,
  );
});

test("a command that the image does not have", async () => {
  await create("no-command", busybox, ["no-such-command"]);
  const reason = 'exec: "no-such-command": executable file not found in $PATH';
  await untilSays("no-command", reason);
  await create("no-program", busybox, ["/etc/passwd"]);
  await untilSays("no-program", 'exec: "/etc/passwd": permission denied');
});

test("a registry that refuses connections, until it is back", async () => {
  const { reference } = await pushImage(lab, "refused");
  await lab.registry.stop();
  await create("refused", reference);
  const refusal = 'cannot reach "registry:5000": the connection was refused ("172.31.0.254:5000")';
  await untilSays("refused", `Cannot pull image "${reference}": ${refusal}`);
  await lab.registry.start();
  await untilRuns("refused");
});

test("a registry that does not answer, until it does", async () => {
  const { reference } = await pushImage(lab, "hanging");
  const removed = await pushImage(lab, "removed");
  await lab.registry.pause();
  try {
    await create("removed", removed.reference);
    const pulls = () => view.tasks("removed")[0]?.status?.state === TaskState.PREPARING;
    await view.until("the pull to begin", pulls, 5_000);
    await host.run("swarmctl", ["service", "rm", "removed"]);
    // Nobody waits for the registry in order to stop waiting for it.
    await view.until("its task to be gone", () => view.tasks("removed").length === 0, 2_000);
    await create("hanging", reference);
    await create("local", busybox);
    const silence = 'waited 10 s for the answer of "registry:5000" to GET /v2/hanging/manifests/1';
    await untilSays("hanging", `Cannot pull image "${reference}": ${silence}`, 15_000);
    // What is here already needs no registry to run.
    await untilRuns("local");
  } finally {
    lab.registry.resume();
  }
  await untilRuns("hanging");
});

test("a manifest that is not the one its digest names", async () => {
  const { reference, manifestDigest } = await pushImage(lab, "manifest");
  const pinned = `registry:5000/manifest@${manifestDigest}`;
  const changed = (good: Buffer) => Buffer.concat([good, Buffer.from(" ")]);
  {
    await using _ = await damageBlob(lab, manifestDigest, changed);
    await create("pinned", pinned);
    await create("tagged", reference);
    await untilSays("pinned", /the manifest sha256:\w{64} arrived with the digest sha256:\w{64}$/);
    await untilSays("tagged", /the manifest sha256:\w{64} arrived with the digest sha256:\w{64}$/);
    assert.ok(!(await pulled("/manifest")));
  }
  await untilRuns("pinned");
  await untilRuns("tagged");
});

test("a layer that is not the one its digest names", async () => {
  const { reference, layerDigest } = await pushImage(lab, "layer");
  const changed = (good: Buffer) => good.with(20, (good[20] ?? 0) ^ 1);
  {
    await using _ = await damageBlob(lab, layerDigest, changed);
    await create("layer", reference);
    await untilSays("layer", new RegExp(`blob ${layerDigest} arrived with the digest sha256:`));
    assert.ok(!(await pulled(reference)));
  }
  await untilRuns("layer");
});
