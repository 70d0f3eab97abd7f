/**
 * Passes the calls that users make at this manager on to the engine of the node that they name, without decoding them:
 * requests, answers, the deadline, cancellation and status as they are, each side no faster than the other one reads.
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { type ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import { diagnosticMethods, nodeMetadata, relayedServices } from "#proto/engine-services.ts";
import { Fault } from "#proto/fault.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import { type Authorize, type CallContext, messageBytesMax } from "#proto/grpc.ts";
import { faultFromGrpc } from "#proto/grpc-fault.ts";
import { frameOf } from "#proto/grpc-frames.ts";
import type { GrpcServer } from "#proto/grpc-server.ts";
import type { ServerCall } from "#proto/grpc-server-call.ts";
import { onAbort, pour } from "#proto/pour.ts";
import type { View } from "../store/store.ts";
import { NodeChannels, type NodeChannelsModules, type Target } from "./node-channels.ts";

export interface RelayModules extends NodeChannelsModules {
  readonly store: View;
  readonly authorize: Authorize;
}

export class Relay implements Disposable {
  readonly #modules: RelayModules;
  readonly #channels: NodeChannels;

  constructor(modules: RelayModules) {
    this.#modules = modules;
    this.#channels = new NodeChannels(modules);
  }

  addServices(server: GrpcServer): void {
    for (const service of relayedServices) {
      for (const method of service.methods) {
        server.handle(method, (call) => this.#relay(method, call));
      }
    }
  }

  [Symbol.dispose](): void {
    this.#channels[Symbol.dispose]();
  }

  async #relay(method: DescMethod, call: ServerCall): Promise<void> {
    this.#modules.authorize(method, call);
    const target = targetOf(this.#modules.store, method, call);
    using lease = await this.#channels.lease(target);
    if (call.signal.aborted) return;
    const path = `/${method.parent.typeName}/${method.name}`;
    // On the wire a call of any kind is one with two streams.
    const onward = lease.client.makeBidiStreamRequest(path, asIs, asIs, new Metadata());
    // Until it hears something, a client keeps what it sends, for another attempt.
    call.begin();
    await join(call, onward).catch((thrown: unknown) => {
      throw seenFrom(target, thrown);
    });
  }
}

const asIs = (bytes: Buffer): Buffer => bytes;

/** Resolves when the node has answered and its answer is on its way; rejects with how it refused. */
async function join(call: ServerCall, onward: ClientDuplexStream<Buffer, Buffer>): Promise<void> {
  const { signal, stream } = call;
  const over = new AbortController();
  const release = onAbort(signal, () => onward.cancel());
  onward.on("error", () => over.abort());
  const requests = async () => {
    const sink = { write: (bytes: Buffer) => onward.write(bytes), stream: onward };
    await pour(call.requests(), { ...sink, over: over.signal });
    if (!over.signal.aborted) onward.end();
  };
  // The user's stream broke.
  requests().catch(() => onward.cancel());
  try {
    const write = (bytes: Buffer) => call.write(frameOf(bytes, messageBytesMax));
    await pour(onward as AsyncIterable<Buffer>, { write, stream, over: signal });
    call.end();
  } finally {
    release();
    over.abort();
    onward.cancel();
  }
}

function targetOf(store: View, method: DescMethod, { metadata }: CallContext): Target {
  const nodeId = metadata.get(nodeMetadata);
  if (nodeId === undefined) {
    throw new Fault(
      "invalid-argument",
      `${method.name} is answered by one node: name its ID in the metadata "${nodeMetadata}"`,
    );
  }
  const node = store.get("node", nodeId);
  if (node === undefined) throw new Fault("not-found", `node "${nodeId}" not found`);
  const name = `node "${node.description?.hostname || nodeId}"`;
  if (node.status?.state === NodeState.DOWN && !diagnosticMethods.has(method)) {
    const why = node.status.message || "its swarmd or its network is away";
    throw new Fault("unavailable", `${name} is down: ${why}`);
  }
  const address = node.description?.engineAddress;
  if (address) return { nodeId, address, name };
  throw new Fault(
    "failed-precondition",
    `${name} has told no address of its engine: its swarmd is of an older version; upgrade it`,
  );
}

/** What the node itself said stays as it is. */
function seenFrom(target: Target, thrown: unknown): Fault {
  const fault = faultFromGrpc(thrown);
  const details = thrown instanceof Error && "details" in thrown ? String(thrown.details) : "";
  if (details.startsWith("No connection established")) {
    const errno = /^connect (E[A-Z]+)/.exec(fault.message)?.[1];
    const problem = errno === undefined ? fault : Object.assign(new Error(), { code: errno });
    return Fault.wrap(`Cannot reach ${target.name} at ${target.address}`, problem);
  }
  if (fault.code !== "unavailable" || !lostWords.some((words) => details.startsWith(words))) {
    return fault;
  }
  return new Fault("unavailable", `The connection to ${target.name} broke`, { cause: thrown });
}

/** How grpc-js begins to tell that the other side is gone. */
const lostWords: readonly string[] = ["Call cancelled", "Connection dropped", "read ECONNRESET"];
