import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import { isEncrypted, mtuOf } from "./network-options.ts";

const mtu = (text: string) => ({ "com.docker.network.driver.mtu": text });

test("network options, an MTU is one that a link may have, with IPv6 one that this may have", () => {
  assert.equal(mtuOf({}), undefined);
  assert.equal(mtuOf(mtu("1400")), 1400);
  assert.equal(mtuOf(mtu("576")), 576);
  for (const text of ["575", "65486", "", "1e3", "-1", "1400 "]) {
    assert.throws(() => mtuOf(mtu(text)), { code: "invalid-argument" }, text);
  }
  assert.equal(mtuOf(mtu("1280"), { ipv6: true }), 1280);
  assert.throws(() => mtuOf(mtu("1279"), { ipv6: true }), {
    message: '"com.docker.network.driver.mtu" is "1279": use a number of bytes from 1280 to 65485',
  });
});

test("network options, encryption is on by its name alone, and off where that is said", () => {
  assert.equal(isEncrypted({}), false);
  for (const text of ["", "true"]) assert.equal(isEncrypted({ encrypted: text }), true);
  assert.equal(isEncrypted({ encrypted: "false" }), false);
});

test("network options, any text is understood or refused", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.nat().map(String)), (text) => {
      for (const parse of [() => mtuOf(mtu(text)), () => isEncrypted({ encrypted: text })]) {
        try {
          const value = parse();
          assert.ok(typeof value === "boolean" || (value ?? 0) >= 576);
        } catch (thrown) {
          assert.ok(thrown instanceof Fault && thrown.code === "invalid-argument");
        }
      }
    }),
  );
});
