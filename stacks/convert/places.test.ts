import assert from "node:assert/strict";
import { test } from "node:test";
import { stackFrom } from "../testing/stack-from.ts";

const text = `
services:
  web:
    image: a
    ports:
      - 80:80
      - 81:81
    volumes: [data:/data]
    deploy:
      placement: {constraints: [node.role==worker]}
networks:
  back: {name: shared}
volumes: {data: {}}
`;

test("places, what managers refuse is found in the file, as near as can be told", () => {
  const { placeOf } = stackFrom({ text });
  for (const [noun, name, complaint, place] of [
    ["service", "shop_web", "endpoint.ports[1] publishes port 81/tcp a second time", "7:9"],
    ["service", "shop_web", "task.container.mounts[0].target is bad", "8:15"],
    ["service", "shop_web", "task.placement.constraints[0] is none", "10:7"],
    ["service", "shop_web", "task.container.env[0] is not there", "3:3"],
    ["service", "shop_web", "something else is wrong", "3:3"],
    ["network", "shared", "its name is taken", "12:3"],
    ["service", "shop_db", "is of nobody", undefined],
  ] as const) {
    const expected = place && `shop.yml:${place}`;
    assert.equal(placeOf(noun, name, complaint), expected, complaint);
  }
});
