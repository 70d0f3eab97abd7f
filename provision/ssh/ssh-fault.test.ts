import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { formatSshAddress, parseSshAddress } from "./ssh-address.ts";
import { shellWords, sshArguments } from "./ssh-arguments.ts";
import { noSudoFault, sshFault } from "./ssh-fault.ts";

const target = { address: "192.0.2.1", settings: { user: "ann", port: 2222 } };

const said: readonly [string, string, RegExp][] = [
  [
    "@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\nHost key verification failed.",
    "permission-denied",
    /the one in known_hosts.*"ssh-keygen -R \[192\.0\.2\.1\]:2222"/,
  ],
  [
    "No ED25519 host key is known for 192.0.2.1 and you have requested strict checking.\r\nHost key verification failed.",
    "permission-denied",
    /its host key is not known here\. Compare it and take it with "ssh -p 2222 ann@192\.0\.2\.1" once/,
  ],
  [
    "ann@192.0.2.1: Permission denied (publickey).",
    "unauthenticated",
    /refuses the user "ann".*ssh-copy-id/,
  ],
  [
    "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures",
    "unauthenticated",
    /refuses/,
  ],
  [
    'Load key "/k": error in libcrypto\nann@192.0.2.1: Permission denied (publickey).',
    "unauthenticated",
    /the key "\/k" cannot be used \(error in libcrypto\)/,
  ],
  [
    "@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nPermissions 0644 for '/k' are too open.\nPermission denied (publickey).",
    "unauthenticated",
    /others may read the key.*chmod 600/,
  ],
  [
    "ssh: Could not resolve hostname h9: Name or service not known",
    "unavailable",
    /the name "h9" is not known/,
  ],
  [
    "ssh: connect to host 192.0.2.1 port 2222: Connection refused",
    "unavailable",
    /to port 2222: start sshd/,
  ],
  [
    "ssh: connect to host 192.0.2.1 port 22: Connection timed out",
    "unavailable",
    /does not answer/,
  ],
  [
    "ssh: connect to host 192.0.2.1 port 22: No route to host",
    "unavailable",
    /no way to it \(no route to host\)/,
  ],
  ["Connection closed by 192.0.2.1 port 22", "unavailable", /broke off \(Connection closed\)/],
  ["", "unavailable", /ssh ended without a word/],
];

for (const [stderr, code, message] of said) {
  test(`ssh says ${JSON.stringify(stderr.slice(-60))}: ${code}`, () => {
    const fault = sshFault(target, stderr);
    assert.equal(fault.code, code);
    assert.match(fault.message, message);
    assert.match(fault.message, /^Cannot reach 192\.0\.2\.1 by ssh: /);
  });
}

test("ssh, no sudo says which line is missing", () => {
  const { message } = noSudoFault(target, "sudo: a password is required\n");
  assert.match(message, /refuses the user "ann" \(sudo: a password is required\)/);
  assert.match(message, /"ann ALL=\(ALL\) NOPASSWD: ALL" into \/etc\/sudoers\.d\/swarm/);
});

test("ssh, a command's words come to the shell there as they are", async () => {
  const { execFileSync } = await import("node:child_process");
  const word = fc
    .string({ unit: "binary" })
    .filter((text) => !text.includes("\0") && text.isWellFormed());
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
      const line = `printf '%s\\0' ${shellWords(words)}`;
      const output = execFileSync("sh", ["-c", line]).toString();
      assert.deepEqual(output.split("\0").slice(0, -1), words);
    }),
    { numRuns: 15 },
  );
});

test("ssh, the address stands behind what ends the options", () => {
  const args = sshArguments(target, { ControlMaster: "no" });
  assert.deepEqual(args.slice(-2), ["--", "192.0.2.1"]);
  assert.deepEqual(args.slice(0, 4), ["-p", "2222", "-l", "ann"]);
});

test("ssh addresses, user, host and port", () => {
  assert.deepEqual(parseSshAddress("ssh://ann@h1:2222"), {
    address: "h1",
    settings: { user: "ann", port: 2222 },
  });
  assert.deepEqual(parseSshAddress("ssh://[2001:db8::1]"), {
    address: "2001:db8::1",
    settings: {},
  });
  for (const bad of [
    "ssh://",
    "ssh://-oProxyCommand=x",
    "ssh://-x@h",
    "ssh://h:0",
    "ssh://h:99999",
    "ssh://a b",
    "ssh://h/x",
  ]) {
    assert.throws(() => parseSshAddress(bad), { code: "invalid-argument" }, bad);
  }
});

test("ssh addresses, whatever is given is an address without options, or refused", () => {
  const text = fc.string().map((rest) => `ssh://${rest}`);
  fc.assert(
    fc.property(text, (given) => {
      try {
        const { address, settings } = parseSshAddress(given);
        assert.match(address, /^[^-\s@/][^\s@/]*$/);
        assert(!settings.user?.startsWith("-"));
      } catch (thrown) {
        assert(thrown instanceof Fault);
      }
    }),
  );
});

test("ssh addresses are written as they are read", () => {
  for (const text of ["ssh://a1", "ssh://ann@192.0.2.21:2222", "ssh://root@[2001:db8::1]"]) {
    assert.equal(formatSshAddress(parseSshAddress(text)), text);
  }
});
