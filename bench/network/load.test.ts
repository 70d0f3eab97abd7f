import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseIperf, parseWrk } from "./load.ts";

const wrk = `Running 2s test @ http://10.0.0.2:80/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.13ms  500.00us  12.00ms   90.00%
    Req/Sec    28.00k     2.00k   31.00k    80.00%
  Latency Distribution
     50%    1.05ms
     99%  940.00us
  56000 requests in 2.00s, 9.00MB read
Requests/sec:  27999.58
Transfer/sec:      4.51MB
`;

test("bench network, what wrk and iperf3 print is understood", () => {
  assert.deepEqual(parseWrk(wrk), { perSecond: 27_999.58, p99Ms: 0.94 });
  const end = {
    end: {
      sum_sent: { bits_per_second: 2 },
      sum_received: { seconds: 1, bits_per_second: 1.5e10 },
    },
  };
  assert.equal(parseIperf(JSON.stringify(end)), 1.5e10);
});

test("bench network, failed requests do not count as fast ones", () => {
  for (const line of [
    "  Socket errors: connect 0, read 7, write 0, timeout 0",
    "  Non-2xx or 3xx responses: 5",
  ]) {
    assert.throws(() => parseWrk(wrk.replace("Requests/sec", `${line}\nRequests/sec`)), Fault);
  }
});

test("bench network, anything else is a Fault", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.throws(() => parseWrk(text), Fault);
      assert.throws(() => parseIperf(text), Fault);
    }),
  );
});
