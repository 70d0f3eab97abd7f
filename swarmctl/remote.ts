/** A manager of another host, over TLS: the first of several that answers. */
import { connect } from "node:net";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { ClientTls } from "#proto/tls/client-credentials.ts";
import { parseHostPort } from "#proto/host-port.ts";
import type { SavedContext } from "./context/saved-context.ts";

/** A host that is switched off says nothing; one that runs answers within a round trip. */
const connectMs = 2_000;

/** The first address at which something listens. */
export async function findManager(managers: readonly string[]): Promise<string> {
  const refusals: string[] = [];
  for (const address of managers) {
    const refusal = await probeAddress(address);
    if (refusal === undefined) return address;
    refusals.push(`${address} (${refusal})`);
  }
  throw new Fault("unavailable", `Cannot reach a manager at ${refusals.join(", ")}`);
}

/** What both sides show each other. */
export async function mutualTls(context: SavedContext): Promise<ClientTls> {
  const { TlsIdentityHolder } = await import("#proto/tls/tls-identity-holder.ts");
  const { certificate, key, caCertificates, clusterId } = context;
  const identity = new TlsIdentityHolder({ certificate, key, caCertificates });
  return { kind: "mutual", identity, clusterId };
}

/** Why nothing answers, in words; undefined where something does. */
function probeAddress(address: string): Promise<string | undefined> {
  const { host, port } = parseHostPort(address);
  return new Promise((done) => {
    const socket = connect({ host, port });
    const settle = (refusal: string | undefined) => {
      socket.destroy();
      done(refusal);
    };
    socket.setTimeout(connectMs, () => settle("no answer"));
    socket.once("connect", () => settle(undefined));
    socket.on("error", (error) => settle(wordsOf(error)));
  });
}

function wordsOf(error: Error): string {
  // Node tries all addresses of a name and says so with an error of its own.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const errno = errnoOf(first);
  const place = / \("[^"]*"\)$/;
  return errno === undefined ? error.message : Fault.from(first).message.replace(place, "");
}
