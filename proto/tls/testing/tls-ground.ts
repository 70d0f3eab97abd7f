/** A manager's TLS port that says who calls, for tests of both of its sides. */
import type { TestContext } from "node:test";
import type { Caller } from "../../caller.ts";
import { serveEndpoint } from "../../endpoint.ts";
import { Fault } from "../../fault.ts";
import { DispatcherService, LogBrokerService } from "../../gen/swarm/v1/dispatcher_pb.ts";
import { NodeCaService } from "../../gen/swarm/v1/node_pb.ts";
import { addService, Connection } from "../../grpc.ts";
import type { TlsIdentity } from "../../manager-messages.ts";
import type { Clock } from "../../ports.ts";
import { systemClock } from "../../system-ports.ts";
import { TestAuthority, type TestIdentityOptions } from "../../testing/test-authority.ts";
import type { ClientTls } from "../client-credentials.ts";
import { TlsIdentityHolder } from "../tls-identity-holder.ts";

export const authority = await TestAuthority.create();
export const { clusterId } = authority;

const refuse = async () => {
  throw new Fault("unimplemented", "not part of this test");
};
export const refusing = {
  issueNodeCertificate: refuse,
  renewNodeCertificate: refuse,
  withdrawNode: refuse,
};

/** A manager that answers who calls, and holds a stream open. */
export async function serve(
  t: TestContext,
  shown: {
    readonly identity?: TlsIdentity;
    readonly as?: TestIdentityOptions;
    readonly clock?: Clock;
  } = {},
) {
  const identity = shown.identity ?? (await authority.identity({ role: "manager", ...shown.as }));
  const holder = new TlsIdentityHolder(identity);
  const callers: Caller[] = [];
  const endpoint = await serveEndpoint(
    "127.0.0.1:0",
    {
      tls: { identity: holder, clusterId },
      owner: "manager",
      addServices: (server) => {
        addService(server, NodeCaService, {
          getRootCertificate: async (_request, { caller }) => {
            callers.push(caller);
            return { caCertificate: JSON.stringify(caller) };
          },
          ...refusing,
        });
        addService(server, DispatcherService, {
          heartbeat: refuse,
          updateTaskStatus: refuse,
          findImagePeers: refuse,
          farewell: refuse,
          // oxlint-disable-next-line require-yield -- not called
          async *session() {
            await refuse();
          },
          async *assignments(_request, { signal }) {
            for (let i = 0; !signal.aborted; i++) {
              yield { resultsIn: String(i) };
            }
          },
        });
        addService(server, LogBrokerService, { publishLogs: refuse }, (_method, { caller }) => {
          throw new Fault("permission-denied", `not for ${caller.kind}`);
        });
      },
    },
    { clock: shown.clock ?? systemClock },
  );
  t.after(() => endpoint[Symbol.asyncDispose]());
  const { port } = new URL(`tcp://${endpoint.address}`);
  return { ...endpoint, holder, callers, port: Number(port) };
}

export async function whoAmI(address: string, tls?: ClientTls): Promise<Caller> {
  using connection = new Connection(address, tls === undefined ? {} : { tls });
  const { caCertificate } = await connection.service(NodeCaService).getRootCertificate({});
  return JSON.parse(caCertificate) as Caller;
}

export const mutual = (identity: TlsIdentity, cluster = clusterId): ClientTls => ({
  kind: "mutual",
  identity: new TlsIdentityHolder(identity),
  clusterId: cluster,
});
