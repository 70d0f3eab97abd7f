import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { DockerApi } from "./docker-api.ts";

/** A client of a server that answers everything with `listener`. */
async function serve(context: TestContext, listener: RequestListener): Promise<DockerApi> {
  const folder = mkdtempSync(join(tmpdir(), "docker-api-"));
  const server = createServer(listener).listen(join(folder, "socket"));
  const api = new DockerApi(() => join(folder, "socket"));
  context.after(() => {
    api[Symbol.dispose]();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  await once(server, "listening");
  return api;
}

test("a query's values travel as text or as JSON, a body as JSON", async (context) => {
  const api = await serve(context, (request, response) => {
    const echo = (body: unknown) => JSON.stringify([request.method, request.url, String(body)]);
    request.once("data", (body) => response.end(echo(body)));
  });
  const query = { status: "true", filters: { name: ["a"] } };
  assert.deepEqual(await api.call("POST", "/x", { query, body: { a: 1 } }), [
    "POST",
    "/v1.45/x?status=true&filters=%7B%22name%22%3A%5B%22a%22%5D%7D",
    '{"a":1}',
  ]);
});

test("an empty reply is undefined", async (context) => {
  const api = await serve(context, (_, response) => response.writeHead(204).end());
  assert.equal(await api.call("DELETE", "/x"), undefined);
});

test("an error reply is a fault with Docker's words", async (context) => {
  const api = await serve(context, (request, response) => {
    response.writeHead(request.url === "/v1.45/json" ? 404 : 500);
    response.end(request.url === "/v1.45/json" ? '{"message":"no such thing"}' : "<html>");
  });
  await assert.rejects(api.call("GET", "/json"), {
    code: "not-found",
    message: "Docker answered GET /json with 404: no such thing",
  });
  await assert.rejects(api.call("GET", "/html"), {
    code: "internal",
    message: "Docker answered GET /html with 500: <html>",
  });
});

test("events that are given up fail for who still reads them, and nowhere else", async (context) => {
  const api = await serve(context, (_, response) => response.write('{"Action":"start"}\n'));
  const watching = new AbortController();
  const events = await api.events({}, watching.signal);
  const read = async () => {
    for await (const event of events) {
      assert.match(String(event), /start/);
      watching.abort();
    }
  };
  await assert.rejects(read());
});
