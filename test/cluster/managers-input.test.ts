/** Addresses, flags and bytes that are wrong: each is named in a sentence, changes nothing, and lets nobody in. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { signalInside } from "#lab/box.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import { infoOf, joinToken, managersSeenBy, swarmctl } from "./managed.ts";
import { assertRefuses } from "./refusal.ts";

let lab: Lab;
let first: Host;
let other: Host;

before(async () => {
  lab = await Lab.up({
    name: "managers-input",
    workers: 1,
    images: [],
    cluster: false,
    ownedByThisProcess: true,
  });
  [first, other] = [lab.host("h1"), lab.host("h2")];
  await Promise.all(lab.hosts.map((host) => host.startSwarmd()));
});

after(async () => {
  await lab?.down();
});

async function refusesInit(flags: readonly string[], says: RegExp): Promise<void> {
  await assertRefuses(first, ["swarmctl", "cluster", "init", ...flags], { status: 1, says });
  assert.equal((await infoOf(first)).nodeId, undefined);
  for (const name of ["node.json", "manager", "certificates/node.key"]) {
    assert.ok(!existsSync(join(first.dataRoot, name)), name);
  }
}

test("init finds out that an address is not the host's, or leads nowhere", async () => {
  const begin = "^Cannot make a cluster: ";
  await refusesInit(
    ["--advertise-addr", other.address],
    new RegExp(
      `${begin}--advertise-addr "${other.address}" is no address of this host, which has `,
    ),
  );
  const nowhere = `this manager is not reached at ${first.address}:\\d+, which it would tell others: connect ECONNREFUSED .*; choose an address that leads here`;
  await refusesInit(["--advertise-addr", `${first.address}:2378`], new RegExp(nowhere));
  await refusesInit(["--listen-addr", "127.0.0.1:2377"], new RegExp(nowhere));
  await refusesInit(
    ["--listen-addr", "192.0.2.9:2377"],
    /: Cannot listen on 192\.0\.2\.9:2377: the address is not one of this host/,
  );
  await refusesInit(
    ["--listen-addr", "h1:0"],
    /--listen-addr "h1:0" is not an address: write HOST or /,
  );
});

test("init on an address in use", async () => {
  const listener = first.spawn("python3", [
    "-c",
    "import socket,time; s=socket.create_server(('',2377)); print(flush=True); time.sleep(600)",
  ]);
  await once(listener.stdout ?? assert.fail("no output"), "data");
  await refusesInit(
    [],
    /^Cannot make a cluster: Cannot listen on 0\.0\.0\.0:2377: the address is in use; stop /,
  );
  signalInside(listener, "SIGKILL");
  await once(listener, "close");
});

test("init with settings that no cluster can have", async () => {
  await refusesInit(
    ["--cert-expiry", "1s"],
    /^Cannot make a cluster: ca\.node_cert_expiry \(--cert-expiry\) is under an hour: use 1h to 87600h$/,
  );
  await refusesInit(["--cert-expiry", "876000h"], /is over ten years: use 1h to 87600h$/);
  await refusesInit(["--dispatcher-heartbeat", "24h"], /is 86400000 ms: use 100 ms to 60 s$/);
  await refusesInit(["--default-addr-pool", "nonsense"], /nonsense/);
  await refusesInit(["--default-addr-pool-mask-length", "4"], /subnet|mask|prefix/i);
});

test("a new manager whose address leads nowhere is not taken in, and is when it is right", async () => {
  await swarmctl(first, "cluster", "init");
  const token = await joinToken(first, "manager");
  const join = ["swarmctl", "cluster", "join", "--token", token, first.address] as const;
  const says =
    /: the new manager is not reached at 172\.31\.0\.2:2378 from 172\.31\.0\.1:2377: .*; advertise an address that all managers reach \(--advertise-addr\), and open its port$/;
  const wrong = ["--advertise-addr", `${other.address}:2378`] as const;
  await assertRefuses(other, [...join, ...wrong], { status: 1, says });
  assert.equal((await infoOf(other)).nodeId, undefined);
  assert.deepEqual(await managersSeenBy(first), { h1: "Leader" });
  await other.run(join[0], join.slice(1));
  // The node that the host had for a moment was taken back.
  assert.deepEqual(await managersSeenBy(first), { h1: "Leader", h2: "Reachable" });
});

/** Speaks to the manager's port as `script` says, which has the connected socket as `s`, and a TLS one as `t`. */
async function speak(script: string): Promise<void> {
  const program = `
import os, socket, ssl, struct
s = socket.create_connection(("${first.address}", 2377), 5)
def tls():
  c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
  c.set_alpn_protocols(["h2"]); return c.wrap_socket(s)
try:
${script.replace(/^/gm, "  ")}
except OSError: pass
`;
  await other.run("python3", ["-c", program], { timeoutMs: 20_000 });
}

test("garbage on the manager's port harms nobody", async () => {
  const pid = await first.run("pgrep", ["-f", "[m]anager/main.ts"]);
  await speak(`s.sendall(os.urandom(100000)); s.recv(1)`);
  await speak(`s.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n"); s.recv(1)`);
  await speak(`s.sendall(b"\\x16\\x03\\x01\\xff\\xff" + os.urandom(70000)); s.recv(1)`);
  await speak(`t = tls(); t.sendall(os.urandom(100000)); t.recv(1)`);
  const preface = `b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n"`;
  await speak(
    `t = tls(); t.sendall(${preface} + b"\\xff\\xff\\xff" + os.urandom(1000)); t.recv(1)`,
  );
  await speak(`c = [socket.create_connection(("${first.address}", 2377)) for _ in range(200)]`);
  assert.equal(await first.run("pgrep", ["-f", "[m]anager/main.ts"]), pid);
  assert.deepEqual(await managersSeenBy(other), { h1: "Leader", h2: "Reachable" });
  const log = await first.run("cat", ["/var/lib/swarm/swarmd.log"]);
  assert.doesNotMatch(log, / {4}at .*\.ts:\d+|uncaught|unhandled/i);
});

test("what is too large is refused, and says how large it may be", async () => {
  const input = "x".repeat(20 * 2 ** 20);
  await assertRefuses(first, ["swarmctl", "config", "create", "huge", "-"], {
    status: 1,
    says: /large|exceeds|at most|longer|big/i,
    input,
  });
  await assertRefuses(first, ["swarmctl", "network", "create", "n".repeat(100_000)], {
    status: 1,
    says: /spec has 100\d{3} bytes: use at most 16384/,
  });
  const look = async () => (await managersSeenBy(first))["h2"] === "Reachable";
  await waitFor("both to go on", look, { timeoutMs: 10_000 });
});
