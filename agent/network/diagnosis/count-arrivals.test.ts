import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { countEchoes, countReceived } from "./count-arrivals.ts";

const count = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const key = fc.stringMatching(/^[A-Za-z0-9+/]{43}=$/);

test("arrivals, echoes that were asked are counted, among all else that the kernel counts", () => {
  fc.assert(
    fc.property(count, count, (asked, answered) => {
      const text = `ifIndex                         \t7\nIcmp6InEchos                    \t${asked}\nIcmp6InEchoReplies              \t${answered}\n`;
      assert.equal(countEchoes(text), asked);
    }),
  );
  assert.equal(countEchoes("Icmp6InEchoReplies \t3\n"), undefined);
});

test("arrivals, an encrypted link's bytes are those of the peer with the key", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(key, count), { selector: ([one]) => one }),
      key,
      (peers, stranger) => {
        const text = peers.map(([peer, bytes]) => `${peer}\t${bytes}\t5\n`).join("");
        for (const [peer, bytes] of peers) assert.equal(countReceived(text, peer), bytes);
        if (peers.every(([peer]) => peer !== stranger)) {
          assert.equal(countReceived(text, stranger), undefined);
        }
        assert.equal(countReceived(text, ""), undefined);
      },
    ),
  );
});

test("arrivals, whatever is printed is a count or none", () => {
  fc.assert(
    fc.property(fc.string(), key, (text, peer) => {
      for (const found of [
        countEchoes(text),
        countReceived(text, peer),
        countReceived(`${peer}\t${text}`, peer),
      ]) {
        assert.ok(found === undefined || found >= 0n);
      }
    }),
  );
});
