import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { text } from "node:stream/consumers";
import { Tunnel } from "./tunnel.ts";

const timeout = 20_000;
const folder = await mkdtemp(join(tmpdir(), "tunnel-"));
after(() => rm(folder, { recursive: true }));

test("tunnel, each connection is carried by a process of its own, both ways to the end", {
  timeout,
}, async () => {
  let carriers = 0;
  await using tunnel = await Tunnel.open(join(folder, "a"), async () => {
    carriers += 1;
    return spawn("sed", ["-u", "s/^/said: /"]);
  });
  const say = async (line: string) => {
    const socket = connect({ path: tunnel.path, allowHalfOpen: true });
    socket.end(`${line}\n`);
    return await text(socket);
  };
  assert.deepEqual(await Promise.all([say("one"), say("two")]), ["said: one\n", "said: two\n"]);
  assert.equal(carriers, 2);
});

test("tunnel, a connection that cannot be carried ends", { timeout }, async () => {
  await using tunnel = await Tunnel.open(join(folder, "b"), () => Promise.reject(new Error("no")));
  const socket = connect(tunnel.path);
  await once(socket, "close");
});

test("tunnel, what carries a connection ends with it, and with the tunnel", {
  timeout,
}, async () => {
  const children: ReturnType<typeof spawn>[] = [];
  const tunnel = await Tunnel.open(join(folder, "c"), async () => {
    const child = spawn("cat");
    children.push(child);
    return child;
  });
  const open = async () => {
    const socket = connect(tunnel.path);
    socket.on("error", () => {});
    socket.write("x");
    await once(socket, "data");
    return socket;
  };
  const ended = (index: number) => {
    const child = children[index];
    assert(child !== undefined);
    return child.exitCode !== null || child.signalCode !== null ? undefined : once(child, "close");
  };
  (await open()).destroy();
  await ended(0);
  await open();
  await tunnel[Symbol.asyncDispose]();
  await ended(1);
});
