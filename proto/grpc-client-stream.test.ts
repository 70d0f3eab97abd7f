/** What a client keeps of a long stream of requests. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Client, credentials } from "@grpc/grpc-js";
import { LogBrokerService } from "./gen/swarm/v1/dispatcher_pb.ts";
import { addService } from "./grpc.ts";
import { TestServer } from "./testing/test-server.ts";

test("client stream, a server that takes it says so at once, so that the client keeps nothing of it", {
  timeout: 15_000,
}, async () => {
  const over = Promise.withResolvers<Record<string, never>>();
  using server = await TestServer.serve((server) =>
    addService(server, LogBrokerService, { publishLogs: () => over.promise }),
  );
  const client = new Client(server.address, credentials.createInsecure());
  const asIs = (bytes: Buffer) => bytes;
  const path = `/${LogBrokerService.typeName}/PublishLogs`;
  const { promise: answered, resolve: onAnswer } = Promise.withResolvers<unknown>();
  const call = client.makeClientStreamRequest<Buffer, Buffer>(path, asIs, asIs, onAnswer);
  await once(call, "metadata");
  over.resolve({});
  assert.equal(await answered, null);
  client.close();
});
