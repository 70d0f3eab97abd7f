/** The manager as its parent sees it: a process with a command line, a ready line, sockets and an exit status. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { NodeCaService } from "#proto/gen/swarm/v1/node_pb.ts";
import { Connection } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import { systemRandom } from "#proto/system-ports.ts";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));

interface Ground {
  readonly folder: string;
  readonly socket: string;
  readonly address: string;
}

async function prepare(t: TestContext): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), "swarm-manager-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const bootstrap = {
    nodeId: newId(systemRandom),
    nodeSecretDigest: "0".repeat(64),
    advertiseAddress: "127.0.0.1:2377",
    description: { hostname: "h1" },
  };
  writeFileSync(join(folder, "bootstrap.json"), JSON.stringify(bootstrap));
  const socket = join(folder, "run", "manager.sock");
  return { folder, socket, address: `127.0.0.1:${await freePort()}` };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}

interface Started {
  readonly child: ChildProcess;
  /** Resolves at the ready line. */
  readonly ready: Promise<void>;
  /** Exit status or signal, and the last line of the log. */
  readonly end: Promise<{ status: number | string; lastLine: string }>;
}

function start(t: TestContext, ground: Ground, extra: readonly string[] = []): Started {
  const args = [
    `--data-root=${join(ground.folder, "data")}`,
    `--run-root=${join(ground.folder, "run")}`,
    `--listen-address=${ground.address}`,
    `--advertise-address=${ground.address}`,
    ...extra,
  ];
  const child = spawn(process.execPath, [main, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line === "ready") ready.resolve();
  });
  let lastLine = "";
  createInterface({ input: child.stderr }).on("line", (line) => {
    lastLine = line;
  });
  const end = once(child, "close").then(([code, signal]: (number | string | null)[]) => {
    ready.reject(new Error(`the manager ended: ${lastLine}`));
    return { status: code ?? signal ?? "?", lastLine };
  });
  ready.promise.catch(() => {});
  return { child, ready: ready.promise, end };
}

const bootstrap = ({ folder }: Ground) => ["--bootstrap", join(folder, "bootstrap.json")];

test("manager, serves users on its socket and nodes on TCP, and ends cleanly on SIGTERM", async (t) => {
  const ground = await prepare(t);
  const { child, ready, end } = start(t, ground, bootstrap(ground));
  await ready;
  assert.equal(statSync(ground.socket).mode & 0o777, 0o600);
  using users = new Connection(`unix:${ground.socket}`);
  const { cluster } = await users.service(ControlService).getCluster({});
  using nodes = new Connection(ground.address);
  const joined = await nodes.service(NodeCaService).issueNodeIdentity({
    token: cluster?.rootCa?.joinTokens?.worker ?? "",
    description: { hostname: "h2" },
    requestId: newId(systemRandom),
  });
  const { node } = await users.service(ControlService).getNode({ ref: "h2" });
  assert.deepEqual([node?.id, node?.number], [joined.nodeId, 2]);
  child.kill("SIGTERM");
  assert.equal((await end).status, 0);
});

test("manager, killed it comes back with what it acknowledged, its stale socket replaced", async (t) => {
  const ground = await prepare(t);
  const first = start(t, ground, bootstrap(ground));
  await first.ready;
  using before = new Connection(`unix:${ground.socket}`);
  await before.service(ControlService).createNetwork({ spec: { annotations: { name: "net" } } });
  first.child.kill("SIGKILL");
  await first.end;
  assert.ok(existsSync(ground.socket));
  const second = start(t, ground);
  await second.ready;
  using after = new Connection(`unix:${ground.socket}`);
  const { network } = await after.service(ControlService).getNetwork({ ref: "net" });
  assert.equal(network?.spec?.annotations?.name, "net");
});

test("manager, ends with its parent: when its stdin closes", async (t) => {
  const ground = await prepare(t);
  const { child, ready, end } = start(t, ground, bootstrap(ground));
  await ready;
  child.stdin?.end();
  const { status, lastLine } = await end;
  assert.equal(status, 0);
  assert.match(lastLine, /the parent ended/);
});

test("manager, ends cleanly also when nobody reads its log any more", async (t) => {
  const ground = await prepare(t);
  const { child, ready, end } = start(t, ground, bootstrap(ground));
  await ready;
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.stdin?.end();
  assert.equal((await end).status, 0);
});

test("manager, a second one on the same data is refused", async (t) => {
  const ground = await prepare(t);
  await start(t, ground, bootstrap(ground)).ready;
  const { status, lastLine } = await start(t, ground).end;
  assert.equal(status, 1);
  assert.match(lastLine, /^manager: Cannot open the log ".*log\.db": another process has it open/);
});

test("manager, an address in use is named", async (t) => {
  const ground = await prepare(t);
  const [, port] = ground.address.split(":");
  const taken = createServer().listen(Number(port), "127.0.0.1");
  t.after(() => taken.close());
  await once(taken, "listening");
  const { status, lastLine } = await start(t, ground, bootstrap(ground)).end;
  assert.equal(status, 1);
  assert.equal(
    lastLine,
    `manager: Cannot listen on ${ground.address}: the address is in use; stop the program that has it, or choose another`,
  );
});

test("manager, a socket where another serves is not taken from it", async (t) => {
  const ground = await prepare(t);
  await start(t, ground, bootstrap(ground)).ready;
  const other = { ...(await prepare(t)), socket: ground.socket };
  const args = [...bootstrap(other), "--run-root", join(ground.folder, "run")];
  const { status, lastLine } = await start(t, other, args).end;
  assert.equal(status, 1);
  assert.match(lastLine, /another manager serves there; stop that one first/);
  assert.ok(existsSync(ground.socket));
});

test("manager, without a cluster and without a bootstrap file it says what is missing", async (t) => {
  const ground = await prepare(t);
  const { status, lastLine } = await start(t, ground).end;
  assert.equal(status, 1);
  assert.match(lastLine, /begin one with --bootstrap FILE/);
});

test("manager, wrong usage is exit status 2", async (t) => {
  const ground = await prepare(t);
  const { status, lastLine } = await start(t, ground, ["--surprise"]).end;
  assert.equal(status, 2);
  assert.match(lastLine, /see --help/);
});
