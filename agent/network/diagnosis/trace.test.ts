import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import { NetworkEndpointSchema, PeerSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import {
  TraceFromTaskRequestSchema,
  TraceToTaskRequestSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { vethName } from "../attachment.ts";
import type { NetworkState } from "../network-state.ts";
import { Questions } from "./questions.ts";
import { TraceFromTask } from "./trace-from-task.ts";
import { traceToTask } from "./trace-to-task.ts";

const one = "aaaaaaaaaaaaaaaaaaaaaaaaa";
const two = "bbbbbbbbbbbbbbbbbbbbbbbbb";

/** The first task's link to the network of both. */
const front = vethName(one, 0);

const endpoint = (taskId: string, networkId: string, address: string) =>
  create(NetworkEndpointSchema, { id: `${taskId}/${networkId}`, taskId, networkId, address });

/** Endpoints come in no order: here the task's second network comes first. */
const state: NetworkState = {
  self: create(PeerSchema, { nodeId: "self" }),
  peers: [],
  networks: [],
  endpoints: [
    endpoint(one, "back", "10.2.0.3"),
    endpoint(one, "front", "10.1.0.3"),
    endpoint(two, "front", "10.1.0.4"),
  ],
  services: [],
  dataPathPort: 0,
};

/** A host with both tasks, where everything is as it should be. It notes which links routes were asked of. */
class Host implements Exec {
  readonly links: string[] = [];

  async run(command: string, args: readonly string[]) {
    return { stdout: this.#answer(command, args), stderr: "" };
  }

  start(): never {
    throw new Fault("internal", "nothing is started");
  }

  #answer(command: string, args: readonly string[]): string {
    if (command === "nft") return "";
    if (args.includes("route")) {
      const link = args.at(-1) ?? "";
      this.links.push(link);
      return JSON.stringify([{ dev: link === front ? vethName(two, 0) : front }]);
    }
    if (!args.includes("addr")) return "";
    const addresses = args.includes(one) ? ["10.1.0.3", "10.2.0.3"] : ["10.1.0.4"];
    const links = addresses.map((local, index) => ({
      ifname: `eth${index}`,
      flags: ["UP"],
      addr_info: [{ local }],
    }));
    return JSON.stringify(links);
  }
}

test("trace, a task on several networks is followed through the link of the one that leads there", async () => {
  const host = new Host();
  const questions = new Questions(host);
  const from = create(TraceFromTaskRequestSchema, { taskId: one, destination: "10.1.0.4" });
  const { answered } = await new TraceFromTask(from, state, questions).run();
  assert.ok(answered);
  assert.deepEqual(host.links, [front]);
});

test("trace, answers of a task on several networks are followed through the link that was asked", async () => {
  const host = new Host();
  const to = create(TraceToTaskRequestSchema, { taskId: one, sourceAddress: "10.1.0.4" });
  await traceToTask(to, state, new Questions(host));
  assert.deepEqual(host.links, [front]);
});
