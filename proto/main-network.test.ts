import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { NetworkSchema } from "./gen/swarm/v1/types_pb.ts";
import { localNetwork, mainNetwork, publishedNetwork } from "./main-network.ts";

const back = create(NetworkSchema, { id: "back", spec: { internal: true } });
const front = create(NetworkSchema, { id: "front", spec: {} });
const bridge = localNetwork("bridge");

test("main network, the first overlay with a way out goes before all others", () => {
  assert.equal(mainNetwork([back, bridge, front])?.id, "front");
  assert.equal(mainNetwork([back, bridge])?.id, "bridge");
  assert.equal(mainNetwork([back])?.id, "back");
  assert.equal(mainNetwork([]), undefined);
});

test("main network, ports of the cluster lead to overlays alone", () => {
  assert.equal(publishedNetwork([bridge, back, front])?.id, "front");
  assert.equal(publishedNetwork([bridge, back])?.id, "back");
  assert.equal(publishedNetwork([bridge]), undefined);
});
