/**
 * Pushes an OCI image layout to a registry (distribution-spec, "Pushing"): blobs first, each in one request, then the
 * manifest under its tag. Blobs that the registry has already are not sent again.
 */
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Fault } from "#proto/fault.ts";
import { blobPath, type Descriptor } from "./oci-layout.ts";

const requestTimeoutMs = 30_000;

export interface PushTarget {
  /** Such as "http://172.31.0.254:5000". */
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

/** Pushes the layout's only image. */
export async function pushLayout(layout: string, target: PushTarget): Promise<void> {
  const index = JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as Index;
  const [descriptor] = index.manifests;
  if (descriptor === undefined) throw new Fault("invalid-argument", `${layout} holds no image`);
  const bytes = await readFile(blobPath(layout, descriptor.digest));
  const manifest = JSON.parse(bytes.toString()) as Manifest;
  for (const blob of [manifest.config, ...manifest.layers]) await pushBlob(layout, blob, target);
  await pushManifest(bytes, descriptor.mediaType, target);
}

/** Pushes a manifest or an index under the target's tag. */
export async function pushManifest(
  bytes: Uint8Array,
  mediaType: string,
  target: PushTarget,
): Promise<void> {
  const url = `${target.registry}/v2/${target.repository}/manifests/${target.tag}`;
  await send("PUT", url, { status: 201, body: bytes, type: mediaType, size: bytes.length });
}

async function pushBlob(layout: string, blob: Descriptor, target: PushTarget): Promise<void> {
  const base = `${target.registry}/v2/${target.repository}/blobs`;
  const found = await send("HEAD", `${base}/${blob.digest}`, { status: [200, 404] });
  if (found.status === 200) return;
  const session = await send("POST", `${base}/uploads/`, { status: 202 });
  const url = new URL(session.location ?? "", target.registry);
  url.searchParams.set("digest", blob.digest);
  const body = createReadStream(blobPath(layout, blob.digest));
  await send("PUT", url.href, {
    status: 201,
    body,
    type: "application/octet-stream",
    size: blob.size,
  });
}

interface Index {
  readonly manifests: readonly Descriptor[];
}

interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

interface SendOptions {
  /** What the registry must answer. */
  readonly status: number | readonly number[];
  readonly body?: Uint8Array | Readable;
  readonly type?: string;
  readonly size?: number;
}

interface Reply {
  readonly status: number;
  readonly location: string | undefined;
}

async function send(method: string, url: string, options: SendOptions): Promise<Reply> {
  const call = request(url, {
    method,
    headers: {
      "content-length": options.size ?? 0,
      ...(options.type === undefined ? {} : { "content-type": options.type }),
    },
    signal: AbortSignal.timeout(requestTimeoutMs),
  });
  const replied = new Promise<Reply>((resolve, reject) => {
    call.on("error", reject);
    call.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("error", reject);
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const status = response.statusCode ?? 0;
        const said = Buffer.concat(chunks).toString().trim();
        const expected = [options.status].flat();
        if (expected.includes(status)) resolve({ status, location: response.headers.location });
        else reject(new Fault("internal", `${method} ${url} was answered ${status}: ${said}`));
      });
    });
  });
  const body = options.body ?? new Uint8Array();
  const sent = body instanceof Uint8Array ? void call.end(body) : pipeline(body, call);
  const [reply] = await Promise.all([replied, sent]);
  return reply;
}
