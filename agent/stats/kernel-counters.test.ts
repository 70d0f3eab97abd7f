import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  parseBlkio,
  parseIoStat,
  parseKeyed,
  parseNetDev,
  parseNumber,
} from "./kernel-counters.ts";

const counter = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const name = fc.stringMatching(/^[a-z_]{1,12}$/);

test("parseKeyed, any counters: the same", () => {
  fc.assert(
    fc.property(fc.dictionary(name, counter), (counters) => {
      const text = Object.entries(counters).map(([key, value]) => `${key} ${value}\n`);
      assert.deepEqual(parseKeyed(text.join("")), new Map(Object.entries(counters)));
    }),
  );
});

test("parseNumber, a number, and max", () => {
  fc.assert(fc.property(counter, (value) => assert.equal(parseNumber(`${value}\n`), value)));
  assert.equal(parseNumber("max\n"), undefined);
  assert.equal(parseNumber(""), undefined);
});

test("parseBlkio and parseIoStat, any devices: their sums", () => {
  const devices = fc.array(fc.tuple(fc.nat(255), fc.nat(255), counter, counter));
  fc.assert(
    fc.property(devices, (all) => {
      const sum = (of: (device: (typeof all)[number]) => bigint) =>
        all.reduce((total, device) => total + of(device), 0n);
      const wanted = { readBytes: sum(([, , read]) => read), writtenBytes: sum((d) => d[3]) };
      const v1 = all.map(
        ([major, minor, read, written]) =>
          `${major}:${minor} Read ${read}\n${major}:${minor} Write ${written}\n${major}:${minor} Sync 7\n`,
      );
      assert.deepEqual(parseBlkio(`${v1.join("")}Total 99\n`), wanted);
      const v2 = all.map(
        ([major, minor, read, written]) =>
          `${major}:${minor} rbytes=${read} wbytes=${written} rios=1 wios=2 dbytes=3 dios=4\n`,
      );
      assert.deepEqual(parseIoStat(v2.join("")), wanted);
    }),
  );
});

test("parseNetDev, all devices but loopback", () => {
  const head = "Inter-|   Receive  |  Transmit\n face |bytes    packets|bytes packets\n";
  const device = (of: string, received: number, sent: number) =>
    `${of.padStart(6)}: ${received} 1 0 0 0 0 0 0 ${sent} 2 0 0 0 0 0 0\n`;
  const text = head + device("lo", 5, 5) + device("eth0", 10, 20) + device("eth1", 1, 2);
  assert.deepEqual(parseNetDev(text), { receivedBytes: 11n, sentBytes: 22n });
});

test("parsers of counters, any text: never fail", () => {
  const parsers = [parseKeyed, parseNumber, parseBlkio, parseIoStat, parseNetDev];
  fc.assert(fc.property(fc.string(), (text) => parsers.forEach((parse) => void parse(text))));
});
