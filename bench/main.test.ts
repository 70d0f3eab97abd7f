import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { capture, type Outcome } from "#lab/process.ts";

const main = fileURLToPath(new URL("main.ts", import.meta.url));

interface NetworkScaleResult {
  readonly bench: string;
  readonly sizes: readonly {
    readonly nodes: number;
    readonly tasks: number;
    readonly task_moves: { readonly messages: number };
  }[];
}

function bench(...args: readonly string[]): Promise<Outcome> {
  return capture([process.execPath, main, ...args]);
}

describe("wrong usage is told in one line with exit code 2", { concurrency: true }, () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [
      [],
      /name a benchmark: "deploy", "engine", "pull", "recover", "raft", "scale", "scheduler", "cli", "soak", "spread", "dns", "network", "network-scale" or "network-vm"/,
    ],
    [["fly"], /name a benchmark/],
    [["deploy", "50"], /too many arguments/],
    [["deploy", "--replicas"], /argument missing/],
    [["deploy", "--replicas", "0"], /a whole number from 1 to 500/],
    [["deploy", "--replicas", "1.5"], /a whole number from 1 to 500/],
    [["deploy", "--rounds", "-1"], /a whole number from 1 to 100/],
    [["soak", "--minutes", "0"], /a whole number from 1 to 1440/],
    [["recover", "--replicas", "3"], /unknown option '--replicas'/],
  ];
  for (const [args, message] of cases) {
    test(`bench ${args.join(" ")}`, async () => {
      const { status, stdout, stderr } = await bench(...args);
      assert.equal(status, 2);
      assert.equal(stdout, "");
      assert.match(stderr, message);
      assert.equal(stderr.trim().split("\n").length, 1);
    });
  }
});

test("network-scale says what each size costs, and its last line is the result", async () => {
  const { status, stdout, stderr } = await bench("network-scale", "--nodes", "20");
  assert.equal(status, 0, stderr);
  const result = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as NetworkScaleResult;
  assert.equal(result.bench, "network-scale");
  assert.deepEqual(
    result.sizes.map(({ nodes, tasks }) => [nodes, tasks]),
    [[20, 200]],
  );
  // The new one is assigned, runs, the old one leaves and is gone: four times one message to each node.
  assert.equal(result.sizes[0]?.task_moves.messages, 80);
});

test("deploy measures a real cluster, and its last line is the result", async () => {
  const { status, stdout, stderr } = await bench("deploy", "--replicas", "3", "--rounds", "1");
  assert.equal(status, 0, stderr);
  const result = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Record<string, unknown>;
  const { ours_ms: oursMs, ours_remove_ms: removeMs, ...settings } = result;
  assert.deepEqual(settings, { bench: "deploy", replicas: 3, network: false });
  assert.ok(Number(oursMs) > 0);
  // SIGTERM does not end the containers: all of the grace passes.
  assert.ok(Number(removeMs) >= 1_000, `removed in ${String(removeMs)} ms`);
});
