import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { systemClock } from "#proto/system-ports.ts";
import { HttpClient } from "./http-client.ts";
import { startServer } from "./testing/test-registry.ts";

const deadlines = { headersMs: 2000, stallMs: 2000 };

describe("an HTTP client", () => {
  test("that expects HTTPS of a plain server, names the flag to use", async () => {
    await using server = await startServer((_request, response) => response.end());
    using client = new HttpClient({ deadlines }, { clock: systemClock });
    const url = new URL(`https://${server.host}/v2/`);
    await assert.rejects(client.send({ url, headers: {}, signal: AbortSignal.timeout(5000) }), {
      code: "failed-precondition",
      message: `"${server.host}" does not speak HTTPS: for plain HTTP start swarmd with --insecure-registry ${server.host}, and log in with --insecure`,
    });
  });

  test("reads no faster than its reader", async () => {
    const sizeBytes = 64 * 1024 * 1024;
    const sent = { bytes: 0 };
    await using server = await startServer((_request, response) => {
      const piece = Buffer.alloc(256 * 1024);
      const send = () => {
        while (sent.bytes < sizeBytes) {
          sent.bytes += piece.length;
          if (!response.write(piece)) return;
        }
        response.end();
      };
      response.on("drain", send);
      send();
    });
    using client = new HttpClient({ deadlines }, { clock: systemClock });
    const url = new URL(`http://${server.host}/`);
    const signal = AbortSignal.timeout(10_000);
    const { body } = await client.send({ url, headers: {}, signal });
    let gotBytes = 0;
    let aheadBytesMax = 0;
    for await (const chunk of body) {
      gotBytes += chunk.length;
      aheadBytesMax = Math.max(aheadBytesMax, sent.bytes - gotBytes);
    }
    assert.equal(gotBytes, sizeBytes);
    // What the kernel's socket buffers hold, and no more.
    assert.ok(aheadBytesMax < 16 * 1024 * 1024, `${aheadBytesMax} bytes ahead`);
  });
});
