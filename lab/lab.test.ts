import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { cgroupRoots } from "./cgroups.ts";
import { Lab } from "./lab.ts";
import { labFolder } from "./lab-folder.ts";
import { start } from "./process.ts";
import { identify, isAlive, sendSignal } from "./process-id.ts";
import { waitFor } from "./wait.ts";

const timeoutMs = 10_000;

/** A name that no other run of the tests has at the same time. */
function labName(purpose: string): string {
  return `test-${purpose}-${process.pid}`;
}

/** Everything on this machine that has to do with the lab. */
function tracesOf(lab: string, namespaces: ReadonlySet<string> = new Set()): readonly string[] {
  const traces: string[] = [];
  if (existsSync(labFolder(lab))) traces.push(labFolder(lab));
  for (const root of cgroupRoots(readFileSync("/proc/self/mounts", "utf8"))) {
    const folder = `${root}/swarm-lab/${lab}`;
    if (existsSync(folder)) traces.push(folder);
  }
  if (readFileSync("/proc/self/mounts", "utf8").includes(labFolder(lab))) traces.push("a mount");
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (command.includes(labFolder(lab))) traces.push(`process ${command}`);
      const network = readlinkSync(`/proc/${pid}/ns/net`);
      if (namespaces.has(network)) traces.push(`process ${pid} in ${network}`);
    } catch (thrown) {
      // It ended while we looked, or is a kernel thread.
      assert.ok(thrown instanceof Error);
    }
  }
  return traces;
}

function namespacesOf(lab: Lab): ReadonlySet<string> {
  const boxes = [lab.lan.box, ...lab.hosts.map((host) => host.box)];
  return new Set(boxes.map((box) => readlinkSync(`/proc/${box.init?.pid}/ns/net`)));
}

async function reaches(lab: Lab, from: string, to: string): Promise<boolean> {
  const ping = ["ping", "-c", "1", "-W", "1", to];
  return (await lab.host(from).exec("busybox", ping)).status === 0;
}

describe("a lab", () => {
  let lab: Lab;
  before(async () => {
    lab = await Lab.up({ name: labName("hosts"), workers: 2, cluster: false });
  });
  after(async () => {
    await lab.down();
  });

  test("hosts reach each other and the registry by name", async () => {
    assert.ok(await reaches(lab, "h1", "h2"));
    assert.ok(await reaches(lab, "h3", "h1"));
    assert.ok(await reaches(lab, "h2", "registry"));
    const url = "http://registry:5000/v2/busybox/manifests/1";
    const accept = "Accept: application/vnd.oci.image.manifest.v1+json";
    const manifest = await lab.host("h1").run("busybox", ["wget", "-qO-", "--header", accept, url]);
    assert.equal(JSON.parse(manifest).schemaVersion, 2);
  });

  test("a host has a name, processes, /run and /var/lib/swarm of its own", async () => {
    const host = lab.host("h2");
    const script =
      "hostname; echo $$ >/run/here; echo kept >/var/lib/swarm/file; ls /sys/class/net";
    assert.equal(await host.run("sh", ["-c", script]), "h2\neth0\nlo\n");
    assert.equal(readFileSync(`${host.dataRoot}/file`, "utf8"), "kept\n");
    assert.ok(existsSync(host.box.path("/run/here")));
    assert.equal((await lab.host("h3").exec("ls", ["/run/here"])).status, 2);
    const pids = (await host.run("sh", ["-c", "ls /proc"]))
      .split("\n")
      .filter((n) => /^\d/.test(n));
    assert.ok(pids.length < 10, `sees ${pids.length} processes`);
  });

  test("exec() passes arguments, input, output and exit status", async () => {
    const host = lab.host("h1");
    const outcome = await host.exec("sh", ["-c", 'cat; echo "$1" >&2; exit 7', "sh", "a 'b' $c"], {
      input: "in",
    });
    assert.deepEqual(outcome, { status: 7, stdout: "in", stderr: "a 'b' $c\n" });
    assert.equal((await host.exec("sh", ["-c", "kill -9 $$"])).status, 137);
    assert.equal((await host.exec("no-such-program")).status, 127);
    await assert.rejects(host.run("sh", ["-c", "echo why >&2; exit 3"]), /status 3: why/);
  });

  test("exec() ends the program in the host when its time is up", async () => {
    const host = lab.host("h1");
    const late = host.exec("sh", ["-c", "echo $$ >/run/late; exec sleep 1000"], { timeoutMs: 300 });
    await assert.rejects(late, { code: "deadline-exceeded" });
    const pid = readFileSync(host.box.path("/run/late"), "utf8").trim();
    const gone = () => !existsSync(host.box.path(`/proc/${pid}`));
    await waitFor("the program to end", gone, { timeoutMs });
  });

  test("kill() ends everything on the host at once, daemons too, and start() finds its data", async () => {
    const host = lab.host("h3");
    await host.run("sh", [
      "-c",
      "echo kept >/var/lib/swarm/file; setsid sleep 1000 >&- 2>&- <&- &",
    ]);
    const init = host.box.init;
    assert.ok(init !== undefined);
    const [, daemon] = readFileSync(`/proc/${init.pid}/task/${init.pid}/children`, "utf8").split(
      " ",
    );
    const sleeping = identify(Number(daemon));
    assert.ok(sleeping !== undefined);
    await host.kill();
    assert.ok(!isAlive(sleeping));
    assert.equal(await host.state(), "killed");
    assert.ok(!(await reaches(lab, "h1", "h3")));
    await assert.rejects(async () => host.exec("true"), /"h3" does not run/);
    await host.boot();
    assert.equal(await host.run("cat", ["/var/lib/swarm/file"]), "kept\n");
    assert.ok(await reaches(lab, "h1", "h3"));
    await assert.rejects(host.boot(), /"h3" runs already/);
  });

  test("stop() lets programs end in good order", async () => {
    const host = lab.host("h3");
    const armed = "trap 'echo bye >/var/lib/swarm/last; exit' TERM; echo >/run/armed";
    const program = `${armed}; while :; do sleep 0.1; done`;
    await host.run("sh", ["-c", 'setsid sh -c "$1" >&- 2>&- <&- &', "sh", program]);
    const ready = () => existsSync(host.box.path("/run/armed"));
    await waitFor("the program to wait for its signal", ready, { timeoutMs });
    await host.stop();
    assert.equal(readFileSync(`${host.dataRoot}/last`, "utf8"), "bye\n");
    assert.equal(await host.state(), "stopped");
    await host.boot();
    assert.equal(await host.state(), "running");
  });

  test("cut() separates hosts, which still talk to each other, until heal()", async () => {
    await lab.cut("h2", "h3");
    assert.equal(await lab.host("h2").state(), "cut");
    const cut = [
      reaches(lab, "h1", "h2"),
      reaches(lab, "h2", "registry"),
      reaches(lab, "h2", "h3"),
    ];
    assert.deepEqual(await Promise.all(cut), [false, false, true]);
    await lab.cut("h3");
    assert.ok(!(await reaches(lab, "h2", "h3")));
    await lab.heal("h2");
    const half = [reaches(lab, "h1", "h2"), reaches(lab, "h1", "h3")];
    assert.deepEqual(await Promise.all(half), [true, false]);
    await lab.heal();
    assert.ok(await reaches(lab, "h1", "h3"));
    assert.equal(await lab.host("h3").state(), "running");
    await assert.rejects(lab.cut("h9"), /no host "h9"/);
  });

  test("the registry refuses when stopped and hangs when paused", async () => {
    const host = lab.host("h1");
    const wget = ["wget", "-qO-", "http://registry:5000/v2/"];
    const ask = (askTimeoutMs = timeoutMs) =>
      host.exec("busybox", wget, { timeoutMs: askTimeoutMs });
    await lab.registry.pause();
    await assert.rejects(ask(300), { code: "deadline-exceeded" });
    lab.registry.resume();
    assert.equal((await ask()).stdout, "{}");
    await lab.registry.stop();
    assert.match((await ask()).stderr, /refused/);
    await lab.registry.start();
    assert.equal((await ask()).stdout, "{}");
  });

  test("open() finds a lab that is there, and up() refuses its name", async () => {
    assert.equal(await Lab.open(lab.name).host("h1").run("hostname"), "h1\n");
    await assert.rejects(Lab.up({ name: lab.name }), { code: "already-exists" });
    assert.equal(await lab.host("h1").run("hostname"), "h1\n");
  });

  test("two labs have the same addresses and do not see each other, and down() leaves nothing", async () => {
    const name = labName("other");
    const other = await Lab.up({ name, cluster: false, images: [] });
    const namespaces = namespacesOf(other);
    try {
      assert.equal(other.host("h1").address, lab.host("h1").address);
      assert.ok(!(await reaches(other, "h1", "172.31.0.2")));
      assert.ok(tracesOf(name, namespaces).length > 0);
    } finally {
      await other.down();
    }
    assert.deepEqual(tracesOf(name, namespaces), []);
    assert.ok(await reaches(lab, "h1", "h2"));
    await other.down();
    await Lab.down(name);
  });

  test("down() with the id of an earlier lab leaves the lab alone", async () => {
    await Lab.down(lab.name, "another");
    assert.equal(await lab.host("h1").run("hostname"), "h1\n");
  });
});

describe("a lab whose maker dies", () => {
  const maker = fileURLToPath(new URL("fixtures/maker.ts", import.meta.url));

  /** Starts a process that makes a lab, waits for a line of its output, and kills it. */
  async function makeAndKill(name: string, line: string): Promise<ReadonlySet<string>> {
    const child = start([process.execPath, maker, name], { stdio: ["ignore", "pipe", "inherit"] });
    const id = identify(child.pid ?? 0);
    assert.ok(id !== undefined && child.stdout !== null);
    let output = "";
    for await (const chunk of child.stdout) {
      output += String(chunk);
      if (output.includes(line)) break;
    }
    const namespaces = line === "made" ? namespacesOf(Lab.open(name)) : new Set<string>();
    sendSignal(id, "SIGKILL");
    return namespaces;
  }

  for (const line of ["booting", "registry serves", "made"]) {
    test(`when it has said "${line}", is taken down`, async () => {
      const name = labName("maker");
      try {
        const namespaces = await makeAndKill(name, line);
        const gone = () => tracesOf(name, namespaces).length === 0;
        await waitFor("the lab to be gone", gone, { timeoutMs });
      } finally {
        await Lab.down(name);
      }
    });
  }
});

test("up() refuses what it cannot make, in a sentence", async () => {
  const name = labName("none");
  await assert.rejects(Lab.up({ name, managers: 0 }), { code: "invalid-argument" });
  await assert.rejects(Lab.up({ name, workers: 200 }), /at most 200 hosts/);
  await assert.rejects(Lab.up({ name: "../x" }), /invalid name/);
  assert.throws(() => Lab.open(name), /there is no lab/);
  assert.deepEqual(tracesOf(name), []);
});

test("up() that is aborted leaves nothing", async () => {
  const name = labName("aborted");
  const aborted = new AbortController();
  const made = Lab.up({
    name,
    cluster: false,
    signal: aborted.signal,
    onStep: () => setImmediate(() => aborted.abort(new Error("enough"))),
  });
  await assert.rejects(made, /enough/);
  // A box that was just being made sees that its lab is gone, and ends by itself.
  await waitFor("no trace of it", () => tracesOf(name).length === 0, { timeoutMs: 10_000 });
});
