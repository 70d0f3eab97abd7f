/** The manager's program as swarmd runs it: a child that is told everything on stdin. Plays swarmd's part. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { toJson } from "@bufbuild/protobuf";
import { type ClusterSpec, ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeAvailability } from "#proto/gen/swarm/v1/types_pb.ts";
import { Connection } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import type { FromManager, ManagerStart, TlsIdentity, ToManager } from "#proto/manager-messages.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { createCertificateRequest } from "#proto/tls/certificate-request.ts";

const main = fileURLToPath(new URL("../main.ts", import.meta.url));

/** A host's folders and address, which outlive its manager's processes. */
export class ManagerGround {
  readonly folder: string;
  readonly address: string;
  /** Once a first manager was issued one, or a join brought it. */
  identity: TlsIdentity | undefined;
  unlockKey = "";

  static async prepare(t: TestContext): Promise<ManagerGround> {
    const folder = mkdtempSync(join(tmpdir(), "swarm-manager-"));
    t.after(() => rmSync(folder, { recursive: true }));
    return new ManagerGround(folder, `127.0.0.1:${await freePort()}`);
  }

  constructor(folder: string, address: string) {
    this.folder = folder;
    this.address = address;
  }

  get socket(): string {
    return join(this.folder, "run", "manager.sock");
  }

  /** To this host's own socket, as root's swarmctl. */
  connect(): Connection {
    return new Connection(`unix:${this.socket}`);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (typeof address !== "object" || address === null) throw new Error("no port was bound");
  return address.port;
}

export interface StartedManager {
  readonly child: ChildProcess;
  /** Everything that it told. */
  readonly told: readonly FromManager[];
  /** Resolves when it tells that it serves. */
  readonly ready: Promise<void>;
  /** Exit status or signal, the whole log, and its last line. */
  readonly end: Promise<{
    readonly status: number | string;
    readonly words: string;
    readonly lastLine: string;
  }>;
}

export interface StartOptions {
  /** Default: the log is there. */
  readonly start?: ManagerStart;
  readonly extraArgs?: readonly string[];
}

/** How a first manager begins: its key stays here, and completes the certificate that the manager issues. */
export async function founding(
  spec?: ClusterSpec,
): Promise<{ readonly start: ManagerStart; readonly key: string }> {
  const { key, csr } = await createCertificateRequest();
  const start: ManagerStart = {
    how: "found",
    nodeId: newId(systemRandom),
    csr,
    spec: spec === undefined ? {} : toJson(ClusterSpecSchema, spec),
    description: { hostname: "h1" },
    availability: NodeAvailability.ACTIVE,
  };
  return { start, key };
}

export async function foundManager(
  t: TestContext,
  ground: ManagerGround,
  options: { readonly spec?: ClusterSpec; readonly extraArgs?: readonly string[] } = {},
): Promise<StartedManager> {
  const { start, key } = await founding(options.spec);
  return startManager(t, ground, { ...options, start, key });
}

export function startManager(
  t: TestContext,
  ground: ManagerGround,
  options: StartOptions & { readonly key?: string } = {},
): StartedManager {
  const args = [
    `--data-root=${join(ground.folder, "data")}`,
    `--run-root=${join(ground.folder, "run")}`,
    `--listen-address=${ground.address}`,
    `--advertise-address=${ground.address}`,
    ...(options.extraArgs ?? []),
  ];
  const child = spawn(process.execPath, [main, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  child.stdin.on("error", () => {});
  const say = (message: ToManager) => child.stdin.write(`${JSON.stringify(message)}\n`);
  const { start = { how: "resume" } } = options;
  const { identity, unlockKey } = ground;
  say({ kind: "begin", start, ...(identity && { identity }), ...(unlockKey && { unlockKey }) });
  const told: FromManager[] = [];
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const message = JSON.parse(line) as FromManager;
    told.push(message);
    if (message.kind === "ready") ready.resolve();
    if (message.kind === "unlock-key") ground.unlockKey = message.unlockKey;
    if (message.kind !== "issued") return;
    const { certificate, caCertificates } = message;
    ground.identity = { certificate, caCertificates, key: options.key ?? "" };
    say({ kind: "identity", identity: ground.identity });
  });
  let words = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (words += text));
  const end = once(child, "close").then(([code, signal]: (number | string | null)[]) => {
    const lastLine = words.trimEnd().split("\n").at(-1) ?? "";
    ready.reject(new Error(`the manager ended: ${lastLine}`));
    return { status: code ?? signal ?? "?", words, lastLine };
  });
  ready.promise.catch(() => {});
  return { child, told, ready: ready.promise, end };
}

/** Shows the manager join token at `through`, and starts the new manager on its own ground. */
export async function joinManager(
  t: TestContext,
  ground: ManagerGround,
  through: ManagerGround,
): Promise<StartedManager> {
  const { ControlService } = await import("#proto/gen/swarm/v1/control_pb.ts");
  const { NodeCaService } = await import("#proto/gen/swarm/v1/node_pb.ts");
  using users = through.connect();
  const { tokens } = await users.service(ControlService).getJoinTokens({});
  const caCertificates = through.identity?.caCertificates ?? "";
  const { key, csr } = await createCertificateRequest();
  using nodes = new Connection(through.address, { tls: { kind: "server-only", caCertificates } });
  const issued = await nodes.service(NodeCaService).issueNodeCertificate({
    token: tokens?.manager ?? "",
    csr,
    description: { hostname: ground.address },
    requestId: newId(systemRandom),
    now: { seconds: BigInt(Math.floor(Date.now() / 1000)) },
  });
  const { certificate = "", caCertificates: roots = "" } = issued.certificate ?? {};
  ground.identity = { certificate, key, caCertificates: roots };
  return startManager(t, ground, { start: { how: "join", managers: [through.address] } });
}
