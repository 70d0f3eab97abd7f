/**
 * Blobs by digest for the other nodes of the cluster: those that are here, and those that are arriving, as far as they are
 * here. Nobody can list them. The reader verifies what it gets.
 */
import { type FileHandle, open } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { errnoOf, Fault } from "#proto/fault.ts";
import {
  type FindBlobsRequest,
  type FindBlobsResponse,
  FindBlobsResponseSchema,
  type LayerService,
  type ReadBlobRequest,
  type ReadBlobResponse,
  ReadBlobResponseSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { CallContext, Handlers } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { parseDigest } from "#registry/digest.ts";
import type { Content } from "../image/content.ts";
import { mayWait } from "./plan.ts";
import { Uploads } from "./uploads.ts";

/** How long a blob may take to begin to arrive: nodes that deploy together do not begin in the same instant. */
const beginMs = 2_000;

/** A reader that takes no piece for so long is dropped. */
const stallMs = 10_000;

/**
 * In memory at a time, for each reader. With its few bytes of protobuf it stays below a power of two, or encoding would take
 * twice as much memory, and the garbage collector, which is most of what sending costs, would run oftener.
 */
const pieceBytes = 256 * 1024 - 64;

const digestsMax = 1_000;

export interface LayerApiModules {
  readonly content: Pick<Content, "arrivals" | "path" | "sizeOf">;
  readonly clock: Clock;
}

/** A blob's file, and up to where it can be read. */
interface Source extends AsyncDisposable {
  readonly handle: FileHandle;
  readonly readable: (offset: number, signal: AbortSignal) => Promise<number>;
}

export class LayerApi implements Handlers<typeof LayerService> {
  readonly #nodeId: string;
  readonly #modules: LayerApiModules;
  readonly #uploads = new Uploads();

  /** `nodeId`: this node's. */
  constructor({ nodeId }: { readonly nodeId: string }, modules: LayerApiModules) {
    this.#nodeId = nodeId;
    this.#modules = modules;
  }

  readonly findBlobs = async ({ digests }: FindBlobsRequest): Promise<FindBlobsResponse> => {
    const { content } = this.#modules;
    const { arrivals } = content;
    if (digests.length > digestsMax) {
      throw new Fault("invalid-argument", `name at most ${digestsMax} digests`);
    }
    const found = create(FindBlobsResponseSchema);
    for (const digest of digests.map(parseDigest)) {
      if ((await content.sizeOf(digest)) !== undefined) found.held.push(digest);
      else if (arrivals.find(digest) !== undefined) found.coming.push(digest);
    }
    return found;
  };

  readonly readBlob = (
    request: ReadBlobRequest,
    context: CallContext,
  ): AsyncIterable<ReadBlobResponse> => this.#read(request, context);

  async *#read(
    { digest, offset }: ReadBlobRequest,
    { caller, signal }: CallContext,
  ): AsyncGenerator<ReadBlobResponse> {
    const reader = caller.kind === "node" ? caller.nodeId : "";
    if (offset < 0n || offset > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new Fault("invalid-argument", `the offset ${offset} is none`);
    }
    using upload = this.#uploads.begin(reader);
    await using source = await this.#open(parseDigest(digest), reader, signal);
    const dropped = new AbortController();
    // One for all pieces: a response is encoded before the next is asked for.
    const buffer = Buffer.allocUnsafeSlow(pieceBytes);
    let at = Number(offset);
    for (;;) {
      dropped.signal.throwIfAborted();
      const readable = await source.readable(at, signal);
      if (readable <= at) return;
      const data = await readPiece(source.handle, buffer, { from: at, to: readable });
      at += data.length;
      // While it stands at the yield it waits for the reader. The call itself ends with the reader or its connection.
      using _stall = this.#modules.clock.timer(stallMs, () => {
        dropped.abort(new Fault("deadline-exceeded", "the reader stood still for too long"));
        upload.drop();
        void source.handle.close();
      });
      yield create(ReadBlobResponseSchema, { data });
    }
  }

  async #open(digest: string, reader: string, signal: AbortSignal): Promise<Source> {
    const { arrivals } = this.#modules.content;
    const maySee = mayWait(digest, reader, this.#nodeId);
    const arriving = maySee ? arrivals.find(digest) : undefined;
    if (arriving !== undefined) {
      const source = await this.#openArriving(digest, signal);
      if (source !== undefined) return source;
    }
    const held = await this.#openHeld(digest);
    if (held !== undefined) return held;
    const begun = maySee ? await this.#openArriving(digest, signal) : undefined;
    const late = begun ?? (await this.#openHeld(digest));
    if (late === undefined) throw new Fault("not-found", `this node does not have ${digest}`);
    return late;
  }

  /** Waits a moment for it to begin. */
  async #openArriving(digest: string, signal: AbortSignal): Promise<Source | undefined> {
    const { clock, content } = this.#modules;
    const { arrivals } = content;
    const late = new AbortController();
    using _timer = clock.timer(beginMs, () => late.abort());
    try {
      const arrival = await arrivals.begun(digest, AbortSignal.any([signal, late.signal]));
      return sourceOf(await open(arrival.path, "r"), (at, ended) => arrival.readable(at, ended));
    } catch (error) {
      signal.throwIfAborted();
      if (late.signal.aborted || errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async #openHeld(digest: string): Promise<Source | undefined> {
    try {
      const handle = await open(this.#modules.content.path(digest), "r");
      const { size } = await handle.stat();
      return sourceOf(handle, () => Promise.resolve(size));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }
}

function sourceOf(handle: FileHandle, readable: Source["readable"]): Source {
  return { handle, readable, [Symbol.asyncDispose]: () => handle.close() };
}

async function readPiece(
  handle: FileHandle,
  buffer: Buffer,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<Buffer> {
  const length = Math.min(buffer.length, to - from);
  const { bytesRead } = await handle.read(buffer, 0, length, from);
  if (bytesRead === 0) throw new Fault("data-loss", "the blob is shorter than it was");
  return buffer.subarray(0, bytesRead);
}
