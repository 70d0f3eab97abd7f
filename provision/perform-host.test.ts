import assert from "node:assert/strict";
import { test } from "node:test";
import { installDependencies } from "./perform-host.ts";
import type { Remote } from "./remote.ts";

test("apt-get waits for a host that upgrades itself, and gets new lists where it finds nothing", async () => {
  const seen: string[] = [];
  const remote: Remote = {
    name: "a1",
    run: async (command) => {
      seen.push(command.join(" "));
      return { status: seen.length === 1 ? 100 : 0, stdout: "", stderr: "" };
    },
    copy: async () => {},
    socket: async () => "",
    [Symbol.asyncDispose]: async () => {},
  };
  await installDependencies(remote, ["runc", "nftables"]);
  const install = /apt-get -o DPkg::Lock::Timeout=\d+ install .* runc nftables$/;
  assert.equal(seen.length, 3);
  assert.match(seen[0] ?? "", install);
  assert.match(seen[1] ?? "", /apt-get update$/);
  assert.match(seen[2] ?? "", install);
});
