/** A manager of another host: the control API over TLS on a loopback port, and the contexts that let users in. */
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { type Endpoint, serveEndpoint } from "#proto/endpoint.ts";
import { addService, type Authorize, type Handlers } from "#proto/grpc.ts";
import { systemClock } from "#proto/system-ports.ts";
import type { TestAuthority, TestIdentityOptions } from "#proto/testing/test-authority.ts";
import { formatContext, type SavedContext } from "../context/saved-context.ts";
import { complete } from "./fake-cluster.ts";

const usersOnly: Authorize = (_, { caller }) => {
  if (caller.kind === "user") return;
  throw new Fault("unauthenticated", caller.kind === "anonymous" ? caller.problem : "no user");
};

export async function serveTlsManager(
  authority: TestAuthority,
  handlers: Partial<Handlers<typeof ControlService>>,
): Promise<Endpoint> {
  const identity = await authority.holder({ role: "manager" });
  const { clusterId } = authority;
  return serveEndpoint(
    "127.0.0.1:0",
    {
      tls: { identity, clusterId },
      owner: "manager",
      addServices: (server) =>
        addService(server, ControlService, complete(ControlService, handlers), usersOnly),
    },
    { clock: systemClock },
  );
}

export async function savedContext(
  authority: TestAuthority,
  managers: readonly string[],
  options: TestIdentityOptions = {},
): Promise<SavedContext> {
  const identity = await authority.identity({ role: "user", name: "ann", ...options });
  return { clusterId: authority.clusterId, managers, ...identity };
}

/** As `context export` writes it. */
export async function exportedContext(...given: Parameters<typeof savedContext>): Promise<string> {
  return formatContext(await savedContext(...given));
}
