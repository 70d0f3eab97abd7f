import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { readFile, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import {
  NetworkEndpointSchema,
  PeerSchema,
  ServiceEndpointSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { ConfigSchema, SecretSchema, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { type Assigned, nothingAssigned } from "./assigned.ts";
import { AssignedFile, parseAssigned, serializeAssigned } from "./assigned-file.ts";

function assignedWith(address: string): Assigned {
  const endpoint = create(NetworkEndpointSchema, {
    id: "t/n",
    taskId: "t",
    networkId: "n",
    address,
  });
  return {
    ...nothingAssigned,
    sequence: "7",
    tasks: new Map([["t", create(TaskSchema, { id: "t" })]]),
    networks: new Map([["n", create(NetworkSchema, { id: "n" })]]),
    endpoints: new Map([["t/n", endpoint]]),
    peers: new Map([["p", create(PeerSchema, { nodeId: "p", number: 2 })]]),
    services: new Map([["s", create(ServiceEndpointSchema, { id: "s", name: "web" })]]),
    dataPathPort: 4790,
  };
}

const remembered = (address: string) => ({
  ...assignedWith(address),
  sequence: "",
  tasks: new Map(),
});

class Ground implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "swarm-assigned-"));
  readonly path = join(this.#folder, "agent", "assigned.bin");
  readonly clock = new FakeClock();
  readonly warnings: unknown[] = [];
  readonly file = this.open();

  open(path = this.path): AssignedFile {
    const log = {
      ...silentLog,
      warn: (_message: string, fields?: unknown) => void this.warnings.push(fields),
    };
    return new AssignedFile({ path }, { clock: this.clock, log });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}

test("assigned file, gives back networks, services, endpoints, peers and the port, and no tasks", async () => {
  await using ground = new Ground();
  assert.equal(await ground.file.read(), undefined);
  ground.file.save(assignedWith("10.0.0.1"));
  await ground.file[Symbol.asyncDispose]();
  assert.deepEqual(await ground.open().read(), remembered("10.0.0.1"));
  assert.equal((await stat(ground.path)).mode & 0o777, 0o600);
  assert.deepEqual(ground.warnings, []);
});

test("assigned file, is written a moment later, once for many changes", async () => {
  await using ground = new Ground();
  for (let i = 1; i <= 50; i++) ground.file.save(assignedWith(`10.0.0.${i}`));
  ground.clock.advance(1_999);
  await assert.rejects(stat(ground.path), { code: "ENOENT" });
  ground.clock.advance(1);
  await ground.file[Symbol.asyncDispose]();
  assert.deepEqual(await ground.file.read(), remembered("10.0.0.50"));
  assert.deepEqual(readdirSync(join(ground.path, "..")), ["assigned.bin"]);
});

test("assigned file, is left alone where only tasks changed", async () => {
  await using ground = new Ground();
  ground.file.save(assignedWith("10.0.0.1"));
  await ground.file[Symbol.asyncDispose]();
  const { ino } = await stat(ground.path);
  ground.file.save({ ...assignedWith("10.0.0.1"), sequence: "8", tasks: new Map() });
  await ground.file[Symbol.asyncDispose]();
  assert.equal((await stat(ground.path)).ino, ino);
});

test("assigned file, damaged in any way is passed over with a warning", async () => {
  await using ground = new Ground();
  ground.file.save(assignedWith("10.0.0.1"));
  await ground.file[Symbol.asyncDispose]();
  const whole = await readFile(ground.path);
  for (const damaged of [
    Buffer.alloc(0),
    Buffer.alloc(31),
    Buffer.from("garbage"),
    whole.subarray(1),
  ]) {
    await writeFile(ground.path, damaged);
    assert.equal(await ground.file.read(), undefined);
    const error = "the file is damaged";
    assert.deepEqual(ground.warnings.pop(), { path: ground.path, error });
  }
  await writeFile(ground.path, whole);
  await truncate(ground.path, whole.length - 1);
  assert.equal(await ground.file.read(), undefined);
});

test("assigned file, that cannot be written or read is told and passed over", async () => {
  await using ground = new Ground();
  await writeFile(join(ground.path, "../..", "file"), "");
  const file = ground.open(join(ground.path, "../..", "file", "assigned.bin"));
  assert.equal(await file.read(), undefined);
  file.save(assignedWith("10.0.0.1"));
  await file[Symbol.asyncDispose]();
  assert.equal(ground.warnings.length, 2);
});

test("parseAssigned, throws nothing but Faults, and takes nothing but what is whole", async () => {
  const whole = await serializeAssigned(assignedWith("10.0.0.1"));
  assert.deepEqual(parseAssigned(whole), remembered("10.0.0.1"));
  const position = fc.nat({ max: whole.length - 1 });
  const flipped = fc.tuple(position, fc.integer({ min: 1, max: 255 })).map(([at, bits]) => {
    const bytes = Buffer.from(whole);
    bytes[at] = (bytes[at] ?? 0) ^ bits;
    return bytes;
  });
  const torn = position.map((length) => whole.subarray(0, length));
  const foreign = fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes));
  const property = fc.property(fc.oneof(flipped, torn, foreign), (bytes) => {
    assert.throws(
      () => parseAssigned(bytes),
      (thrown) => thrown instanceof Fault,
    );
  });
  fc.assert(property, { numRuns: 500 });
});

test("parseAssigned, takes whole files of any version, or throws a Fault", () => {
  const foreign = fc.uint8Array({ maxLength: 100 }).map((bytes) => {
    return Buffer.concat([createHash("sha256").update(bytes).digest(), bytes]);
  });
  const property = fc.property(foreign, (bytes) => {
    try {
      parseAssigned(bytes);
    } catch (thrown) {
      assert.ok(thrown instanceof Fault);
    }
  });
  fc.assert(property, { numRuns: 500 });
});

test("serializeAssigned, writes many endpoints without holding the event loop, and all of them", async () => {
  const endpoints = Array.from({ length: 1_700 }, (_, index) =>
    create(NetworkEndpointSchema, { id: `t${index}/n`, taskId: `t${index}`, networkId: "n" }),
  );
  const assigned = {
    ...assignedWith("10.0.0.1"),
    endpoints: new Map(endpoints.map((endpoint) => [endpoint.id, endpoint])),
    dataPathPort: 4790,
  };
  const writing = serializeAssigned(assigned);
  let turns = 0;
  const counting = setImmediate(function turn() {
    turns += 1;
    if (turns < 3) setImmediate(turn);
  });
  const bytes = await writing;
  clearImmediate(counting);
  assert.equal(turns, 3, "others have their turn between four pieces");
  const parsed = parseAssigned(bytes);
  assert.deepEqual([...parsed.endpoints.keys()], [...assigned.endpoints.keys()]);
  assert.deepEqual(parsed.networks, assigned.networks);
  assert.equal(parsed.dataPathPort, 4790);
});

test("assigned file, holds nothing of secrets and configs", async () => {
  const spec = { data: Buffer.from("hunter2") };
  const assigned: Assigned = {
    ...assignedWith("10.0.0.2"),
    secrets: new Map([["s", create(SecretSchema, { id: "s", spec })]]),
    configs: new Map([["c", create(ConfigSchema, { id: "c", spec })]]),
  };
  const bytes = await serializeAssigned(assigned);
  assert.ok(!bytes.includes("hunter2"));
  assert.deepEqual(bytes, await serializeAssigned(assignedWith("10.0.0.2")));
});
