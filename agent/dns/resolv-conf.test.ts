import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { silentLog } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { HostResolver, parseResolvConf, readResolvConf } from "./resolv-conf.ts";

describe("parseResolvConf()", () => {
  test("takes addresses, three at most, and nothing else", () => {
    const text =
      "# nameserver 192.0.2.9\nnameserver 192.0.2.1\nnameserver x\nnameserver\t::1\n nameserver 192.0.2.2\nnameserver 192.0.2.1\nnameserver 192.0.2.3 # x\nnameserver 192.0.2.4\n";
    assert.deepEqual(parseResolvConf(text).nameservers, ["192.0.2.1", "::1", "192.0.2.3"]);
  });

  test("takes the last list of domains, without comments and the root", () => {
    const search = (text: string) => parseResolvConf(text).search;
    assert.deepEqual(search("search a.test b.test\n"), ["a.test", "b.test"]);
    assert.deepEqual(search("domain a.test\nsearch b.test . \n"), ["b.test"]);
    assert.deepEqual(search("options ndots:2\n"), []);
  });

  test("takes any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        assert(parseResolvConf(text).nameservers.length <= 3);
      }),
    );
  });
});

test("readResolvConf() knows of nobody where there is no file", async () => {
  assert.deepEqual(await readResolvConf("/nonexistent"), { nameservers: [], search: [] });
});

test("readResolvConf() looks behind systemd-resolved's stub, where there is something", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "resolv-"));
  t.after(() => rm(folder, { recursive: true }));
  const [path, stubFile] = [join(folder, "resolv.conf"), join(folder, "behind")];
  await writeFile(path, "nameserver 127.0.0.53\nsearch lan\n");
  const stub = { nameservers: ["127.0.0.53"], search: ["lan"] };
  assert.deepEqual(await readResolvConf(path, { stubFile }), stub);
  await writeFile(stubFile, "nameserver 192.0.2.1\nsearch corp\n");
  const behind = { nameservers: ["192.0.2.1"], search: ["corp"] };
  assert.deepEqual(await readResolvConf(path, { stubFile }), behind);
  await writeFile(path, "nameserver 127.0.0.1\n");
  assert.deepEqual((await readResolvConf(path, { stubFile })).nameservers, ["127.0.0.1"]);
});

test("HostResolver follows the file, looking once a second at most", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "resolv-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "resolv.conf");
  await writeFile(path, "nameserver 192.0.2.1\n");
  const clock = new FakeClock();
  const resolver = new HostResolver(path, { clock, log: silentLog });
  assert.deepEqual(await resolver.nameservers(), ["192.0.2.1"]);
  await writeFile(path, "nameserver 192.0.2.2\n");
  clock.advance(999);
  assert.deepEqual(await resolver.nameservers(), ["192.0.2.1"]);
  clock.advance(1);
  assert.deepEqual(await resolver.nameservers(), ["192.0.2.2"]);
});
