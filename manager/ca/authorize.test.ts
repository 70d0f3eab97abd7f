/** Every method of every service that managers serve, called by every kind of caller over real connections. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { serveEndpoint } from "#proto/endpoint.ts";
import { type Code, Fault } from "#proto/fault.ts";
import { file_swarm_v1_control } from "#proto/gen/swarm/v1/control_pb.ts";
import { file_swarm_v1_dispatcher } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { file_swarm_v1_engine, LayerService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { file_swarm_v1_manager } from "#proto/gen/swarm/v1/manager_pb.ts";
import { file_swarm_v1_node, NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import { file_swarm_v1_objects, type Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { file_swarm_v1_specs } from "#proto/gen/swarm/v1/specs_pb.ts";
import { file_swarm_v1_types, NodeMembership, NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { addService, Connection, type Handlers } from "#proto/grpc.ts";
import type { GrpcServer } from "#proto/grpc-server.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import { systemClock } from "#proto/system-ports.ts";
import { createCertificateRequest } from "#proto/tls/certificate-request.ts";
import { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import type { Replication } from "../replication/replication.ts";
import { authorizer, nodeOf, ruleOf } from "./authorize.ts";
import { requestedKey } from "./certificate-request.ts";
import { issueCertificate } from "./issuer.ts";
import type { Rule } from "./rules.ts";
import { contextOf, TestCluster } from "./testing/test-cluster.ts";

const timeout = 60_000;

/** NodeService is swarmd's, on a socket of its own; layers go from node to node, not through managers. */
const services: readonly DescService[] = [
  file_swarm_v1_control,
  file_swarm_v1_dispatcher,
  file_swarm_v1_engine,
  file_swarm_v1_manager,
  file_swarm_v1_node,
  file_swarm_v1_objects,
  file_swarm_v1_specs,
  file_swarm_v1_types,
]
  .flatMap((file) => file.services)
  .filter(({ typeName }) => typeName !== NodeService.typeName)
  .filter(({ typeName }) => typeName !== LayerService.typeName);

const methods: readonly DescMethod[] = services.flatMap((service) => service.methods);

let clockOffsetMs = 0;
const clock = { ...systemClock, now: () => systemClock.now() + clockOffsetMs };
const cluster = await TestCluster.found({ clock });
const clusterId = cluster.cluster.id;

const callers = [
  "nobody",
  "expired",
  "other cluster",
  "worker",
  "manager",
  "worker's certificate of a manager",
  "joining manager",
  "demoted manager",
  "removed worker",
  "removed manager",
  "user",
  "local",
] as const;
type CallerName = (typeof callers)[number];

const change =
  (part: Partial<Pick<Node, "role">> & { readonly desired: NodeRole }) => (node: Node) =>
    ({ ...node, ...part, spec: { ...node.spec, desiredRole: part.desired } }) as Node;

async function removed(token: string): Promise<TlsIdentity> {
  const { nodeId, identity } = await cluster.join({ token });
  const node = cluster.test.store.get("node", nodeId);
  assert(node !== undefined);
  await cluster.test.remove("node", node);
  return identity;
}

async function user(): Promise<TlsIdentity> {
  const { key, csr } = await createCertificateRequest();
  const subject = { kind: "user", name: "anna" } as const;
  const order = { key: await requestedKey(csr), subject, nowMs: clock.now() };
  return { key, ...(await issueCertificate(cluster.cluster, order)) };
}

async function identities(): Promise<ReadonlyMap<CallerName, TlsIdentity>> {
  const { worker, manager } = cluster.tokens;
  const { caCertificates } = cluster.founder;
  const promoted = await cluster.join({ token: worker });
  await cluster.change(
    promoted.nodeId,
    change({ role: NodeRole.MANAGER, desired: NodeRole.MANAGER }),
  );
  const demoted = await cluster.join({ token: manager });
  await cluster.change(demoted.nodeId, change({ role: NodeRole.WORKER, desired: NodeRole.WORKER }));
  clockOffsetMs = -100 * 24 * 3_600_000;
  const expired = await cluster.join({ token: manager });
  clockOffsetMs = 0;
  const other = await TestCluster.found();
  return new Map<CallerName, TlsIdentity>([
    ["expired", expired.identity],
    ["other cluster", { ...other.founder, caCertificates }],
    ["worker", (await cluster.join({ token: worker })).identity],
    ["manager", cluster.founder],
    ["worker's certificate of a manager", promoted.identity],
    ["joining manager", (await cluster.join({ token: manager })).identity],
    ["demoted manager", demoted.identity],
    ["removed worker", await removed(worker)],
    ["removed manager", await removed(manager)],
    ["user", await user()],
  ]);
}

const shown = await identities();

/** Answers everything with nothing. */
function handlersOf<S extends DescService>(service: S): Handlers<S> {
  const handlers: Record<string, unknown> = {};
  for (const { localName, methodKind } of service.methods) {
    handlers[localName] =
      methodKind === "server_streaming" || methodKind === "bidi_streaming"
        ? async function* () {}
        : async () => ({});
  }
  return handlers as Handlers<S>;
}

/** As this manager finds itself; tests change it. */
const standing: { leading: boolean; leader: Replication["leader"] } = {
  leading: true,
  leader: undefined,
};

const folder = mkdtempSync(join(tmpdir(), "swarm-authorize-"));
const authorize = authorizer({ store: cluster.test.store, replication: standing });
const addServices = (server: GrpcServer) => {
  for (const service of services) addService(server, service, handlersOf(service), authorize);
};
const identity = new TlsIdentityHolder(cluster.founder);
const options = { tls: { identity, clusterId }, owner: "manager", addServices } as const;
const remote = await serveEndpoint("127.0.0.1:0", options, { clock: systemClock });
const local = await serveEndpoint(`unix:${folder}/sock`, options, { clock: systemClock });
const connections = new Map(callers.map((caller) => [caller, connect(caller)]));
after(async () => {
  for (const connection of connections.values()) connection[Symbol.dispose]();
  await remote[Symbol.asyncDispose]();
  await local[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function connect(caller: CallerName): Connection {
  if (caller === "local") return new Connection(local.address);
  const own = shown.get(caller);
  const tls =
    own === undefined
      ? ({ kind: "server-only", caCertificates: cluster.founder.caCertificates } as const)
      : ({ kind: "mutual", identity: new TlsIdentityHolder(own), clusterId } as const);
  return new Connection(remote.address, { tls });
}

/** What the call comes to: a code, or "ok". */
async function outcome(caller: CallerName, method: DescMethod): Promise<Fault | "ok"> {
  const client = connections.get(caller)?.service(method.parent) as Record<
    string,
    (request: unknown) => unknown
  >;
  const call = client[method.localName];
  assert(call !== undefined);
  const request = method.methodKind === "bidi_streaming" ? none() : {};
  try {
    if (method.methodKind === "unary") await call({});
    else if (method.methodKind === "client_streaming") await call(none());
    else for await (const _message of call(request) as AsyncIterable<unknown>);
    return "ok";
  } catch (thrown) {
    assert(thrown instanceof Fault, String(thrown));
    return thrown;
  }
}

async function* none() {}

type Outcomes = Readonly<Record<CallerName, Code | "ok">>;

const strangers = {
  nobody: "unauthenticated",
  expired: "unauthenticated",
  "other cluster": "unauthenticated",
} as const;
const nodesDenied = {
  worker: "permission-denied",
  manager: "permission-denied",
  "worker's certificate of a manager": "permission-denied",
  "joining manager": "permission-denied",
  "demoted manager": "permission-denied",
  "removed worker": "permission-denied",
  "removed manager": "permission-denied",
} as const;
const usersDenied = { user: "permission-denied", local: "permission-denied" } as const;

const managers: Outcomes = {
  ...strangers,
  ...nodesDenied,
  ...usersDenied,
  manager: "ok",
  "joining manager": "ok",
};

/** On the leader. */
const expected: Readonly<Record<Rule, Outcomes>> = {
  anyone: Object.fromEntries(callers.map((caller) => [caller, "ok"])) as Outcomes,
  node: {
    ...strangers,
    ...usersDenied,
    worker: "ok",
    manager: "ok",
    "worker's certificate of a manager": "ok",
    "joining manager": "ok",
    "demoted manager": "ok",
    "removed worker": "permission-denied",
    "removed manager": "permission-denied",
  },
  manager: managers,
  "raft-member": managers,
  user: { ...strangers, ...nodesDenied, user: "ok", local: "ok" },
};

test("every method of every service has a rule", () => {
  assert(methods.length > 40, `${methods.length} methods were found`);
  for (const method of methods) {
    assert(ruleOf(method) !== undefined, `${method.parent.typeName}.${method.name} has no rule`);
  }
});

test("what gives away or changes who is trusted is not for nodes", () => {
  const rule = (name: string) => {
    const method = methods.find((each) => each.name === name);
    assert(method !== undefined);
    return ruleOf(method);
  };
  for (const name of ["GetJoinTokens", "GetUnlockKey", "BackupCluster", "UpdateCluster"]) {
    assert.equal(rule(name), "user");
  }
  for (const name of ["Propose", "JoinRaft", "ReportBeats", "RelayLogs"]) {
    assert.equal(rule(name), "manager");
  }
  const open = methods.filter((method) => ruleOf(method) === "anyone").map(({ name }) => name);
  assert.deepEqual(open, ["GetRootCertificate", "IssueNodeCertificate"]);
});

for (const caller of callers) {
  test(`${caller}: each method of the leader answers as its rule says`, { timeout }, async () => {
    for (const method of methods) {
      const rule = ruleOf(method);
      assert(rule !== undefined);
      const result = await outcome(caller, method);
      const code = result === "ok" ? "ok" : result.code;
      const said = `${method.name}: ${result === "ok" ? "ok" : result.message}`;
      assert.equal(code, expected[rule][caller], said);
    }
  });
}

const method = (name: string): DescMethod => {
  const found = methods.find((each) => each.name === name);
  assert(found !== undefined);
  return found;
};

async function refusal(caller: CallerName, name: string): Promise<string> {
  const fault = await outcome(caller, method(name));
  assert(fault !== "ok");
  return fault.message;
}

test("a refusal says what is wrong with the caller", { timeout }, async () => {
  const said = (caller: CallerName, name: string) => refusal(caller, name);
  assert.equal(
    await said("nobody", "ListNodes"),
    "ListNodes needs a certificate of this cluster: it shows no certificate",
  );
  assert.match(await said("expired", "Heartbeat"), /has expired: it holds from .* clocks of both/);
  assert.match(await said("other cluster", "Heartbeat"), /unknown authority: it is of another/);
  assert.equal(
    await said("worker", "ListNodes"),
    "ListNodes is for users: the certificate is a node's",
  );
  assert.equal(
    await said("worker", "Propose"),
    "Propose is for managers: the certificate is a worker's",
  );
  assert.equal(
    await said("user", "Propose"),
    "Propose is for managers: the certificate is a user's",
  );
  assert.equal(await said("local", "Heartbeat"), "Heartbeat is for nodes: no certificate is shown");
  assert.match(
    await said("removed worker", "Heartbeat"),
    /^node "\w+" was removed from the cluster \(clear it with "swarmctl cluster leave --force" on it/,
  );
  assert.match(
    await said("demoted manager", "Propose"),
    /^Propose is for managers: node "\w+" is not a manager any more$/,
  );
});

test("a follower lets nobody in whom it does not know, but does not say for certain", {
  timeout,
}, async (t) => {
  t.after(() => Object.assign(standing, { leading: true, leader: undefined }));
  Object.assign(standing, {
    leading: false,
    leader: { nodeId: "l".repeat(25), address: "192.0.2.1:2377" },
  });
  const codeOf = async (caller: CallerName, name: string) => {
    const result = await outcome(caller, method(name));
    return result === "ok" ? "ok" : result.code;
  };
  assert.equal(await codeOf("removed worker", "Heartbeat"), "unavailable");
  assert.match(
    await refusal("removed worker", "Heartbeat"),
    /or this manager does not know it yet$/,
  );
  assert.equal(await codeOf("demoted manager", "Propose"), "unavailable");
  assert.equal(await codeOf("removed manager", "SendMessages"), "unavailable");
  assert.equal(await codeOf("worker", "Propose"), "permission-denied");
  assert.equal(await codeOf("nobody", "SendMessages"), "unauthenticated");
});

test("a server that is behind takes the log from a leader that it does not know", {
  timeout,
}, async (t) => {
  t.after(() => Object.assign(standing, { leading: true, leader: undefined }));
  Object.assign(standing, { leading: false, leader: undefined });
  const codeOf = async (caller: CallerName) => {
    const result = await outcome(caller, method("SendMessages"));
    return result === "ok" ? "ok" : result.code;
  };
  // The one is new, or made a manager, after what this server has seen.
  assert.equal(await codeOf("removed manager"), "ok");
  assert.equal(await codeOf("demoted manager"), "ok");
  assert.equal(await codeOf("worker"), "permission-denied");
  assert.equal(await codeOf("worker's certificate of a manager"), "permission-denied");
  assert.equal(await codeOf("other cluster"), "unauthenticated");
  assert.equal((await outcome("removed manager", method("Propose"))) === "ok", false);
});

test("node of a call, is the store's; others have none", () => {
  const { store } = cluster.test;
  const [first] = store.list("node");
  assert(first !== undefined);
  const caller = { kind: "node", nodeId: first.id, role: "manager", clusterId } as const;
  assert.equal(nodeOf(store, contextOf(caller)).id, first.id);
  assert.throws(() => nodeOf(store, contextOf({ ...caller, nodeId: "x".repeat(25) })), {
    code: "permission-denied",
    message: /^node "x{25}" was removed from the cluster \(/,
  });
  assert.throws(() => nodeOf(store, contextOf({ kind: "local" })), { code: "unauthenticated" });
});

test("a node that waits to be accepted may do nothing", { timeout }, async () => {
  const { nodeId } = await cluster.join();
  const pending = (node: Node) =>
    ({ ...node, spec: { ...node.spec, membership: NodeMembership.PENDING } }) as Node;
  await cluster.change(nodeId, pending);
  const caller = { kind: "node", nodeId, role: "worker", clusterId } as const;
  assert.throws(() => authorize(method("Heartbeat"), contextOf(caller)), {
    code: "permission-denied",
    message: `node "${nodeId}" is not accepted yet`,
  });
});
