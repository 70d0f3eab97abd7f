import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import { logDriverNames, parseLogDriver } from "./log-driver.ts";

const parse = (name: string, options: Record<string, string> = {}) =>
  parseLogDriver({ name, options });

test("log driver, nothing said: local, five files of 20 MiB", () => {
  const { name, fileBytesMax, files } = parseLogDriver(undefined);
  assert.deepEqual([name, fileBytesMax, files], ["local", 20 * 2 ** 20, 5]);
  assert.deepEqual(parse(""), parseLogDriver(undefined));
});

test("log driver, options: read as Docker's", () => {
  const json = parse("json-file", {
    "max-size": "10m",
    "max-file": "3",
    labels: "a,b",
    env: "C",
    tag: "{{.Name}}",
    mode: "non-blocking",
    "max-buffer-size": "4m",
  });
  assert.deepEqual([json.fileBytesMax, json.files], [10 * 2 ** 20, 3]);
  assert.deepEqual([json.labels, json.env, json.tag], [["a", "b"], ["C"], "{{.Name}}"]);
  assert.equal(parse("journald", { "cache-max-size": "1m" }).fileBytesMax, 2 ** 20);
});

test("log driver, syslog: addresses, formats and facilities", () => {
  const of = (options: Record<string, string>) => parse("syslog", options).syslog;
  assert.deepEqual(of({}), {
    address: { transport: "unixgram", path: "/dev/log" },
    format: "rfc3164",
    facility: 3,
  });
  const options = {
    "syslog-address": "udp://[2001:db8::1]:5514",
    "syslog-format": "rfc5424",
    "syslog-facility": "local7",
  };
  const address = { transport: "udp", host: "2001:db8::1", port: 5514 };
  assert.deepEqual(of(options), { address, format: "rfc5424", facility: 23 });
  assert.deepEqual(of({ "syslog-address": "tcp://logs.example.com" })?.address, {
    transport: "tcp",
    host: "logs.example.com",
    port: 514,
  });
});

test("log driver, what there is not: refused by name", () => {
  const refused: readonly [string, Record<string, string>, RegExp][] = [
    ["gelf", {}, /no log driver "gelf": use local, json-file/],
    ["none", { "max-size": "1m" }, /"none" has no option "max-size"/],
    ["local", { tag: "x" }, /"local" has no option "tag"/],
    ["local", { "max-size": "1" }, /max-size is "1": use 4096/],
    ["json-file", { "max-size": "-1" }, /max-size is "-1"/],
    ["local", { "max-size": "many" }, /max-size: invalid size/],
    ["local", { "max-file": "0" }, /max-file is "0"/],
    ["local", { compress: "true" }, /compress is "true"/],
    ["local", { mode: "fast" }, /mode is "fast"/],
    ["syslog", { "syslog-address": "ftp://x" }, /syslog-address is "ftp:/],
    ["syslog", { "syslog-address": "udp://x:70000" }, /syslog-address/],
    ["syslog", { "syslog-format": "rfc1" }, /syslog-format is "rfc1"/],
    ["syslog", { "syslog-facility": "24" }, /syslog-facility is "24"/],
  ];
  for (const [name, options, message] of refused)
    assert.throws(() => parse(name, options), message);
});

test("log driver, any option: read or refused by a Fault", () => {
  const options = fc.dictionary(
    fc.constantFrom("max-size", "max-file", "tag", "syslog-address", "syslog-facility", "mode"),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.constantFrom(...logDriverNames), options, (name, chosen) => {
      try {
        const { fileBytesMax, files } = parse(name, chosen);
        assert.ok(fileBytesMax >= 4096 && files >= 1);
      } catch (thrown) {
        assert.ok(thrown instanceof Fault, String(thrown));
      }
    }),
  );
});
