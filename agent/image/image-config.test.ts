import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseImageConfig } from "./image-config.ts";

const bytesOf = (value: unknown) => Buffer.from(JSON.stringify(value));

describe("an image config", () => {
  const config = (part: object) =>
    bytesOf({ os: "linux", architecture: "amd64", rootfs: {}, config: part });

  test("with a health check, has it in milliseconds", () => {
    const Healthcheck = { Test: ["CMD", "ping"], Interval: 1_500_000_000, Retries: 2 };
    const parsed = parseImageConfig(config({ Healthcheck, Shell: ["/bin/bash", "-c"] }));
    assert.deepEqual(parsed.healthcheck, {
      test: ["CMD", "ping"],
      intervalMs: 1_500,
      timeoutMs: 0,
      retries: 2,
      startPeriodMs: 0,
      startIntervalMs: 0,
    });
    assert.deepEqual(parsed.shell, ["/bin/bash", "-c"]);
  });

  test("with nulls as Go writes them, has empty values", () => {
    const parsed = parseImageConfig(config({ Env: null, Cmd: null, Labels: null, User: null }));
    assert.deepEqual(parsed, {
      os: "linux",
      architecture: "amd64",
      created: "",
      env: [],
      entrypoint: [],
      cmd: [],
      workingDir: "",
      user: "",
      stopSignal: "",
      shell: [],
      exposedPorts: [],
      labels: {},
      volumes: [],
      diffIds: [],
    });
  });

  test("with wrong values, is refused with their place", () => {
    assert.throws(() => parseImageConfig(config({ Cmd: "sh" })), /config\.Cmd must be a list/);
    assert.throws(() => parseImageConfig(config({ Env: ["=x"] })), /config\.Env has "=x"/);
    assert.throws(
      () => parseImageConfig(config({ Labels: { a: 1 } })),
      /config\.Labels\.a must be/,
    );
  });

  test("of any bytes or any changed part, is refused by a Fault or parsed", () => {
    const parses = (bytes: Uint8Array) => {
      try {
        parseImageConfig(bytes);
      } catch (error) {
        assert.ok(error instanceof Fault && error.code === "failed-precondition", String(error));
      }
    };
    fc.assert(fc.property(fc.uint8Array(), parses));
    fc.assert(fc.property(fc.json(), (json) => parses(Buffer.from(json))));
    const valid = { os: "linux", architecture: "amd64", rootfs: { diff_ids: [] }, config: {} };
    fc.assert(
      fc.property(fc.constantFrom("config", "rootfs"), fc.jsonValue(), (name, value) =>
        parses(bytesOf({ ...valid, [name]: value })),
      ),
    );
  });
});
