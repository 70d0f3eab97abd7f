import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { allSources, fanOut, mayWait, type Peer, planSources } from "./plan.ts";

const digest = `sha256:${"a".repeat(64)}`;
const peerOf = (nodeId: string, holds = false): Peer => ({ nodeId, address: `${nodeId}:1`, holds });

const ids = (maxLength: number) =>
  fc.uniqueArray(fc.stringMatching(/^[a-z0-9]{1,8}$/), { minLength: 1, maxLength });

/** Node → whom it waits for: those of its sources to which the blob is coming. */
function waits(nodeId: string, peers: readonly Peer[]): readonly string[] {
  const coming = planSources({ digest, nodeId, peers }).filter(({ holds }) => !holds);
  return coming.map((peer) => peer.nodeId);
}

test("plan, among nodes that know of each other one is the root, and the tree is flat", () => {
  fc.assert(
    fc.property(ids(200), (nodes) => {
      const peers = nodes.map((id) => peerOf(id));
      const chains = nodes.map((id) => waits(id, peers));
      assert.equal(chains.filter(({ length }) => length === 0).length, 1);
      const root = nodes.find((id) => waits(id, peers).length === 0);
      const children = new Map<string, number>();
      for (const [parent = "", ...above] of chains.filter(({ length }) => length > 0)) {
        children.set(parent, (children.get(parent) ?? 0) + 1);
        // What it turns to when its parent fails is what its parent reads from.
        assert.deepEqual(above, waits(parent, peers));
      }
      for (const chain of chains.filter(({ length }) => length > 0))
        assert.equal(chain.at(-1), root);
      assert.ok([...children.values()].every((count) => count <= fanOut));
      const depth = Math.max(...chains.map(({ length }) => length));
      assert.ok(
        depth <= Math.ceil(Math.log(nodes.length) / Math.log(fanOut)) + 1,
        `depth ${depth}`,
      );
    }),
  );
});

test("plan, whatever nodes know and whichever fail, none waits in a circle", () => {
  const view = fc.array(fc.tuple(fc.nat({ max: 30 }), fc.boolean()), { maxLength: 60 });
  fc.assert(
    fc.property(ids(31), fc.array(view, { maxLength: 31 }), (nodes, views) => {
      const edges = new Map<string, readonly string[]>();
      for (const [index, nodeId] of nodes.entries()) {
        const known = (views[index] ?? []).flatMap(([at, holds]) => {
          const id = nodes[at];
          return id === undefined ? [] : [peerOf(id, holds)];
        });
        const all = allSources({ digest, nodeId, peers: known }).filter(({ holds }) => !holds);
        const waited = [...waits(nodeId, known), ...all.map((peer) => peer.nodeId)];
        // A node that was said to hold it and has lost it refuses whoever may not wait for it.
        for (const source of waited) assert.ok(mayWait(digest, nodeId, source));
        edges.set(nodeId, waited);
      }
      assert.ok(!hasCircle(edges));
    }),
  );
});

test("plan, no two nodes may wait for each other, nor one for itself", () => {
  fc.assert(
    fc.property(ids(2), ([a = "", b = a]) => {
      assert.ok(!mayWait(digest, a, a));
      if (a !== b) assert.notEqual(mayWait(digest, a, b), mayWait(digest, b, a));
    }),
  );
});

test("plan, different blobs have different roots, and readers spread over those who hold them", () => {
  const nodes = Array.from({ length: 20 }, (_, index) => `node${index}`);
  const peers = nodes.map((id) => peerOf(id));
  const roots = new Set<string | undefined>();
  for (let blob = 0; blob < 50; blob += 1) {
    roots.add(planSources({ digest: `blob ${blob}`, nodeId: "zz", peers }).at(-1)?.nodeId);
  }
  assert.ok(roots.size > 10, `${roots.size} roots`);
  const holders = nodes.map((id) => peerOf(id, true));
  const firsts = nodes.map((nodeId) => planSources({ digest, nodeId, peers: holders })[0]?.nodeId);
  assert.ok(new Set(firsts).size > 5);
  assert.ok(nodes.every((nodeId, index) => firsts[index] !== nodeId));
});

function hasCircle(edges: ReadonlyMap<string, readonly string[]>): boolean {
  const done = new Set<string>();
  const visit = (node: string, path: ReadonlySet<string>): boolean => {
    if (path.has(node)) return true;
    if (done.has(node)) return false;
    const found = (edges.get(node) ?? []).some((next) => visit(next, new Set([...path, node])));
    done.add(node);
    return found;
  };
  return [...edges.keys()].some((node) => visit(node, new Set()));
}
