import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isSecretName, redacted, redactText } from "./redact.ts";

test("redact, names that sound like a secret", () => {
  const secret = ["DB_PASSWORD", "pgpass", "API_KEY", "api-key", "apiKey", "KEY", "TOKEN", "SALT"];
  const open = ["MODE", "KEYBOARD", "HOST", "MONKEY_BARS", "PORT", "COMPANY"];
  assert.deepEqual(secret.filter(isSecretName), secret);
  assert.deepEqual(open.filter(isSecretName), []);
});

test("redact, forms of secrets among other words", () => {
  const texts: readonly (readonly [string, string])[] = [
    ["join SWMTKN-1-ab-cd now", `join ${redacted} now`],
    ["key SWMKEY-1-a_b-c.", `key ${redacted}.`],
    ["at https://me:pw@host/x", `at https://${redacted}@host/x`],
    ["at https://me:p@w@host/x", `at https://${redacted}@host/x`],
    ["at https://host/x@y", "at https://host/x@y"],
    ["Authorization: Bearer abcdefgh.ij", `Authorization: Bearer ${redacted}`],
    ['{"password": "a b", "mode": "c"}', `{"password": ${redacted}, "mode": "c"}`],
    ["db_password=hunter2 mode=fast", `db_password=${redacted} mode=fast`],
    ["password=a,b;c]d}e mode", `password=${redacted} mode`],
    ['password="cut off', `password=${redacted} off`],
    ["-----BEGIN PRIVATE KEY-----\nab\n-----END PRIVATE KEY----- c", `${redacted} c`],
    ["-----BEGIN EC PRIVATE KEY-----\nab", redacted],
  ];
  for (const [text, expected] of texts) assert.equal(redactText(text), expected);
});

test("redact, a text that has no secret stays as it is", () => {
  const word = fc.stringMatching(/^[a-fh-z0-9.,-]{0,8}$/);
  fc.assert(
    fc.property(fc.array(word), (words) => {
      assert.equal(redactText(words.join(" ")), words.join(" "));
    }),
  );
});

test("redact, what is redacted once stays so", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[^"']*$/), (text) => {
      const once = redactText(`${text} token=${text}`);
      assert.equal(redactText(once), once);
    }),
  );
});

test("redact, takes time in proportion to the text", { timeout: 20_000 }, () => {
  const pieces = [
    "x",
    "password",
    "http://",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "eyJ",
    "a.",
    "bearer ",
  ];
  for (const piece of pieces) redactText(piece.repeat(Math.ceil(1_000_000 / piece.length)));
});
