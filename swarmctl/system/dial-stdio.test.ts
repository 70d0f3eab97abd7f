import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runCli } from "../testing/run-cli.ts";

const timeout = 20_000;
const runRoot = await mkdtemp(join(tmpdir(), "dial-"));
after(() => rm(runRoot, { recursive: true }));

test("dial-stdio, carries both ways until the socket's end", { timeout }, async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let heard = "";
    socket.on("data", (chunk) => {
      heard += chunk.toString();
    });
    socket.on("end", () => socket.end(`heard ${heard}`));
  });
  server.listen(join(runRoot, "manager.sock"));
  await once(server, "listening");
  const { code, stdout, stderr } = await runCli({ runRoot }, ["system", "dial-stdio", "manager"], {
    stdin: "hello",
  });
  server.close();
  assert.deepEqual([code, stdout, stderr], [0, "heard hello", ""]);
});

test("dial-stdio, says where nothing listens, and is not told of", { timeout }, async () => {
  const { code, stderr } = await runCli({ runRoot }, ["system", "dial-stdio", "swarmd"]);
  assert.equal(code, 1);
  assert.match(stderr, /Cannot reach ".*swarmd\.sock"/);
  const help = await runCli({ runRoot }, ["system", "--help"]);
  assert.doesNotMatch(help.stdout, /dial-stdio/);
});
