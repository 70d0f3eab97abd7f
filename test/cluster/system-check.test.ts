/** What `swarmctl system check` says of hosts that lack something, and of networks between hosts that lose packets. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

const image = "registry:5000/busybox:1";
const timeout = 120_000;

let lab: Lab;

before(async () => {
  lab = await Lab.up({
    name: "syscheck",
    managers: 1,
    workers: 2,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  await run("network", "create", "--driver", "overlay", "--opt", "encrypted", "sealed");
  const everywhere = ["--mode", "global", "--network", "sealed"];
  await run("service", "create", "--name", "all", ...everywhere, image, "sleep", "1000");
});

after(async () => {
  await lab?.down();
});

async function run(...args: readonly string[]): Promise<void> {
  await lab.host("h1").run("swarmctl", args);
}

async function check(...args: readonly string[]) {
  return await swarmctl(lab.host("h1"), ...args);
}

async function swarmctl(
  host: Host,
  ...args: readonly string[]
): Promise<{ status: number | null; said: string }> {
  const { status, stdout, stderr } = await host.exec("swarmctl", ["system", "check", ...args]);
  return { status, said: stdout + stderr };
}

/** Packets that match are dropped as they come in, until it is disposed of. */
async function drop(host: Host, match: string): Promise<AsyncDisposable> {
  const chain = "add chain inet block in { type filter hook input priority -10; }";
  await host.run("nft", [`add table inet block; ${chain}; add rule inet block in ${match} drop`]);
  return {
    [Symbol.asyncDispose]: async () => {
      await host.run("nft", ["delete table inet block"]);
    },
  };
}

async function untilNode(name: string, state: "ready" | "down"): Promise<void> {
  const look = async () => {
    const format = ["--format", "{{.Hostname}} {{.Status}}"];
    const { stdout } = await lab.host("h1").exec("swarmctl", ["node", "ls", ...format]);
    return stdout.toLowerCase().includes(`${name} ${state}`);
  };
  await waitFor(`${name} to be ${state}`, look, { timeoutMs: 30_000 });
}

test("system check, what is in order is shown when it is asked for", { timeout }, async () => {
  const brief = await check();
  assert.equal(brief.status, 0, brief.said);
  assert.doesNotMatch(brief.said, / ok /);
  const all = await check("--all");
  for (const host of ["h1", "h2", "h3"]) {
    assert.match(all.said, new RegExp(`^${host} +program:nft +ok +version 1`, "m"));
    assert.match(all.said, new RegExp(`^${host} +port:4789/udp +ok +ours`, "m"));
    assert.match(all.said, new RegExp(`^${host} +port:2378/tcp +ok +ours`, "m"));
  }
  const one = await check("--all", "--node", "h2");
  assert.match(one.said, /^h2 /m);
  assert.doesNotMatch(one.said, /^h[13] /m);
});

test("system check, a host without a program is named, with how to get it", {
  timeout,
}, async () => {
  const path = "/usr/bin/socat";
  await lab.host("h2").run("mount", ["--bind", "/dev/null", path]);
  try {
    const { status, said } = await check();
    assert.match(
      said,
      /^h2 +program:socat +missing +socat is not there; .* +apt-get install socat$/m,
    );
    assert.doesNotMatch(said, /^h[13] +program/m);
    assert.equal(status, 1);
  } finally {
    await lab.host("h2").run("umount", [path]);
  }
});

test("system check, a worker's host checks itself", { timeout }, async () => {
  const { said } = await swarmctl(lab.host("h3"), "--all");
  assert.match(said, /is not a manager; .* Only this host is checked$/m);
  assert.match(said, /^h3 +kernel:overlayfs +ok/m);
  assert.doesNotMatch(said, /^h[12] /m);
  const local = await swarmctl(lab.host("h1"), "--local", "--all", "--format", "json");
  const first = JSON.parse(local.said.split("\n", 1)[0] ?? "") as Record<string, unknown>;
  assert.deepEqual(Object.keys(first), ["host", "check", "result", "detail", "how"]);
});

test("system check --mesh, all is open", { timeout }, async () => {
  const { status, said } = await check("--mesh");
  assert.equal(status, 0, said);
  for (const [from, to] of ["1 2", "1 3", "2 1", "2 3", "3 1", "3 2"].map((pair) =>
    pair.split(" "),
  )) {
    assert.match(said, new RegExp(`^h${from} +h${to} +overlay +ok +1450 bytes, 0% lost`, "m"));
    assert.match(said, new RegExp(`^h${from} +h${to} +encrypted overlay +ok`, "m"));
  }
});

test("system check --mesh, UDP that one direction drops is named with it", {
  timeout,
}, async () => {
  await using _ = await drop(lab.host("h2"), "ip saddr 172.31.0.1 udp dport 4789");
  const { status, said } = await check("--mesh");
  const way = String.raw`4789/udp from 172\.31\.0\.1 to 172\.31\.0\.2`;
  const advice = `let the firewalls of h1 and h2 and between them pass ${way}`;
  assert.match(said, new RegExp(`^h1 +h2 +overlay +FAIL +${way} does not arrive: ${advice}$`, "m"));
  assert.match(said, /^h2 +h1 +overlay +ok .* arrives; the answers do not: see h1 to h2$/m);
  assert.equal(said.match(/FAIL/g)?.length, 1, said);
  assert.equal(status, 1);
});

test("system check --mesh, UDP that both directions drop is named twice", { timeout }, async () => {
  await using _there = await drop(lab.host("h2"), "ip saddr 172.31.0.1 udp dport 4789");
  await using _back = await drop(lab.host("h1"), "ip saddr 172.31.0.2 udp dport 4789");
  const { said } = await check("--mesh");
  assert.match(said, /^h1 +h2 +overlay +FAIL +4789\/udp .* does not arrive/m);
  assert.match(said, /^h2 +h1 +overlay +FAIL +4789\/udp .* does not arrive/m);
  assert.equal(said.match(/FAIL/g)?.length, 2, said);
});

test("system check --mesh, the port of encrypted networks is named", { timeout }, async () => {
  await using _ = await drop(lab.host("h3"), "ip saddr 172.31.0.2 udp dport 51820");
  const { said } = await check("--mesh");
  const way = String.raw`51820/udp from 172\.31\.0\.2 to 172\.31\.0\.3`;
  assert.match(said, new RegExp(`^h2 +h3 +encrypted overlay +FAIL +${way} does not arrive`, "m"));
  assert.match(said, /^h3 +h2 +encrypted overlay +ok .* see h2 to h3$/m);
});

test("system check --mesh, the engine's port is named", { timeout }, async () => {
  await using _ = await drop(lab.host("h3"), "ip saddr 172.31.0.2 tcp dport 2378");
  const { status, said } = await check("--mesh");
  const way = String.raw`2378/tcp from 172\.31\.0\.2 to 172\.31\.0\.3`;
  assert.match(said, new RegExp(`^h2 +h3 +tcp 172\\S+ +FAIL +${way} gets no answer: let the`, "m"));
  assert.equal(said.match(/FAIL/g)?.length, 1, said);
  assert.equal(status, 1);
});

test("system check --mesh, a node that is down for a firewall tells which", {
  timeout,
}, async () => {
  {
    await using _ = await drop(lab.host("h1"), "ip saddr 172.31.0.2 tcp dport 2377");
    await untilNode("h2", "down");
    const { said } = await check("--mesh");
    const way = String.raw`2377/tcp from 172\.31\.0\.2 to 172\.31\.0\.1`;
    const row = `^h2 +h1 +tcp \\S+:2377 +FAIL +${way} gets no answer: let the firewalls of h2 and h1`;
    assert.match(said, new RegExp(row, "m"));
    assert.equal(said.match(/FAIL/g)?.length, 1, said);
  }
  await untilNode("h2", "ready");
});

test("system check --mesh, the size that passes is named", { timeout }, async () => {
  const lan = lab.lan.box;
  // What is larger than the cable to h2 takes is dropped in both directions, and nobody is told. A tag's 4 bytes pass beside it.
  await lan.run("ip", ["link", "set", "dev", "h2", "mtu", "1400"]);
  try {
    const { status, said } = await check("--mesh");
    const advice = "packets of 1500 bytes do not arrive, those of 1404 bytes do: lower the MTU";
    assert.match(
      said,
      new RegExp(`^h1 +h2 +overlay +FAIL +${advice} .* of h1 and h2 to 1404`, "m"),
    );
    assert.match(
      said,
      new RegExp(`^h3 +h2 +overlay +FAIL +${advice} .* of h3 and h2 to 1404`, "m"),
    );
    assert.match(said, /^h1 +h2 +encrypted overlay +FAIL +packets of 1500 bytes do not arrive/m);
    assert.match(said, /^h1 +h3 +overlay +ok/m);
    assert.equal(status, 1);
  } finally {
    await lan.run("ip", ["link", "set", "dev", "h2", "mtu", "1500"]);
  }
});

test("system check --mesh, a host that answers nobody is named", { timeout }, async () => {
  await lab.cut("h3");
  try {
    await untilNode("h3", "down");
    const { status, said } = await check("--mesh", "--node", "h3");
    assert.match(
      said,
      /^h3 +- +answers +FAIL +Node "h3" did not answer: .*; what it reaches is not known/m,
    );
    assert.equal(status, 1);
    const hosts = await check();
    assert.match(hosts.said, /^h3 +reachable +wrong +Node "h3" did not answer/m);
  } finally {
    await lab.heal();
  }
});
