/** The parsers of what others wrote: account files of images, conmon's report, the kernel's limits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseReport, runtimeMessage } from "./conmon.ts";
import { parseHardLimits } from "./host-limits.ts";
import { parseSignal } from "#proto/stop-signal.ts";
import { parseGroup, parsePasswd, resolveUser } from "./user.ts";

const accountText = fc.string({ unit: fc.constantFrom("a", "0", "9", ":", ",", "\n", "#", "-") });

test("parsePasswd and parseGroup, any text: only whole entries with valid IDs", () => {
  fc.assert(
    fc.property(accountText, (text) => {
      for (const { name, uid, gid } of parsePasswd(text)) {
        assert.ok(name !== "" && uid >= 0 && uid < 2 ** 32 && gid >= 0 && gid < 2 ** 32);
      }
      for (const { name, gid } of parseGroup(text)) assert.ok(name !== "" && gid < 2 ** 32);
    }),
  );
});

test("resolveUser, any wish: valid IDs or a Fault", () => {
  fc.assert(
    fc.property(accountText, accountText, accountText, (wanted, passwd, group) => {
      try {
        const { uid, gid } = resolveUser(wanted, [], { passwd, group });
        assert.ok(Number.isInteger(uid) && Number.isInteger(gid));
      } catch (error) {
        assert.ok(error instanceof Fault);
      }
    }),
  );
});

test("resolveUser, a number: the ID, even where the image has a user or group of that name", () => {
  const accounts = { passwd: "1000:x:0:0::/root:/bin/sh\n", group: "50:x:0:\n" };
  const wanted = { uid: 1000, gid: 50, additionalGids: [50] };
  assert.deepEqual(resolveUser("1000:50", ["50"], accounts), wanted);
});

test("parseReport, conmon's line: the container's process ID", () => {
  assert.equal(parseReport('{"data": 42}'), 42);
});

test("parseReport, any other line: a Fault with words in it", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
      try {
        assert.ok(parseReport(line) > 0);
      } catch (error) {
        assert.ok(error instanceof Fault && error.message !== "");
      }
    }),
  );
});

test("runtimeMessage, runc's log: the innermost words", () => {
  const logged =
    'time="2026-01-31T12:00:00Z" level=error msg="runc create failed: unable to start container process: exec: \\"x\\": executable file not found in $PATH"\n';
  assert.equal(runtimeMessage(logged), 'exec: "x": executable file not found in $PATH');
});

test("parseHardLimits, /proc/self/limits: finite hard limits by their ulimit names", () => {
  const text = [
    "Limit                     Soft Limit           Hard Limit           Units     ",
    "Max open files            1024                 20000                files     ",
    "Max cpu time              unlimited            unlimited            seconds   ",
  ].join("\n");
  assert.deepEqual(parseHardLimits(text), { nofile: 20000 });
});

test("parseSignal, names and numbers: as the kernel numbers them", () => {
  const wanted = { SIGTERM: 15, quit: 3, "9": 9, "SIGRTMIN+3": 37, "RTMAX-1": 63 };
  for (const [text, number] of Object.entries(wanted)) assert.equal(parseSignal(text), number);
  for (const text of ["", "0", "65", "SIGNOT", "RTMAX+1"])
    assert.throws(() => parseSignal(text), Fault);
});
