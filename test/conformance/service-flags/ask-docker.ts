/** What the Docker CLI of the peers' root asks its daemon for: it talks to one that only listens. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { ensurePeerRoot } from "#bench/peer/root.ts";
import { cases, image, wordsOf } from "./cases.ts";

const run = promisify(execFile);

/** The daemon's side: it keeps the one service that it is told of, and knows one network, secret and config. */
class Listener {
  #spec: unknown;

  get spec(): unknown {
    return this.#spec;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const path = (request.url ?? "").replace(/\?.*$/, "").replace(/^\/v[0-9.]+/, "");
    response.setHeader("API-Version", "1.45");
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(this.#reply(path, body)));
  }

  #reply(path: string, body: string): unknown {
    if (path === "/services/create" || /^\/services\/[^/]+\/update$/.test(path)) {
      this.#spec = JSON.parse(body);
      return { ID: "web" };
    }
    if (path.startsWith("/services/"))
      return { ID: "web", Version: { Index: 1 }, Spec: this.#spec };
    if (path === "/secrets") return [{ ID: "key", Spec: { Name: "key" } }];
    if (path === "/configs") return [{ ID: "conf", Spec: { Name: "conf" } }];
    if (path.startsWith("/networks/")) return { Id: "net", Name: "net", Scope: "swarm" };
    return {};
  }
}

/** Of each case, the spec after each of its steps. */
export async function askDocker(): Promise<Record<string, unknown[]>> {
  const docker = join(await ensurePeerRoot(), "usr/bin/docker");
  const folder = await mkdtemp(join(tmpdir(), "swarm-conformance-"));
  const listener = new Listener();
  const server = createServer((request, response) => void listener.answer(request, response));
  const socket = join(folder, "docker.sock");
  server.listen(socket);
  await once(server, "listening");
  try {
    const answers: Record<string, unknown[]> = {};
    for (const [created, ...updates] of cases) {
      const create = [
        "create",
        "-d",
        "--no-resolve-image",
        "--name",
        "web",
        ...wordsOf(created),
        image,
        "top",
      ];
      const specs: unknown[] = [];
      for (const words of [
        create,
        ...updates.map((flags) => ["update", "-d", ...wordsOf(flags), "web"]),
      ]) {
        const env = { DOCKER_CONFIG: folder, DOCKER_HOST: `unix://${socket}` };
        await run(docker, ["service", ...words], { env });
        specs.push(listener.spec);
      }
      answers[created] = specs;
    }
    return answers;
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}
