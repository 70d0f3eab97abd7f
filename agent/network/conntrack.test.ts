import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import * as fc from "fast-check";
import type { Exec, RunOptions, RunResult } from "#agent/exec.ts";
import { silentLog } from "#proto/system-ports.ts";
import { parseFlows, StaleFlows } from "./conntrack.ts";
import { Namespace } from "./testing/namespace.ts";

const printed = `\
tcp      6 431999 ESTABLISHED src=10.1.0.5 dst=10.1.0.2 sport=40000 dport=80 src=10.1.0.7 dst=10.1.0.5 sport=80 dport=40000 [ASSURED] mark=0 use=1
udp      17 29 src=fd00:1::5 dst=fd00:9::2 sport=1024 dport=53 [UNREPLIED] src=fd00:1::7 dst=fd00:1::5 sport=53 dport=1024 mark=0 zone-orig=16385 use=1
icmp     1 29 src=10.1.0.5 dst=10.1.0.2 type=8 code=0 id=7 src=10.1.0.7 dst=10.1.0.5 type=0 code=0 id=7 mark=0 use=1
`;

test("conntrack, reads what the tool prints", () => {
  assert.deepEqual(
    [...parseFlows(printed)],
    [
      {
        protocol: "tcp",
        source: "10.1.0.5",
        destination: "10.1.0.2",
        port: "80",
        backend: "10.1.0.7",
      },
      {
        protocol: "udp",
        source: "fd00:1::5",
        destination: "fd00:9::2",
        port: "53",
        backend: "fd00:1::7",
      },
      {
        protocol: "icmp",
        source: "10.1.0.5",
        destination: "10.1.0.2",
        port: "",
        backend: "10.1.0.7",
      },
    ],
  );
});

test("conntrack, takes any text and lets nothing but addresses into a command", () => {
  const word = fc.constantFrom(
    "udp ",
    "src=",
    "dst=",
    "10.1.0.5",
    " ",
    "\n",
    "-D",
    "sport=1 dport=2",
  );
  const texts = fc.oneof(
    fc.string(),
    fc.array(word).map((list) => list.join("")),
  );
  fc.assert(
    fc.property(texts, (text) => {
      for (const flow of parseFlows(text)) {
        for (const address of [flow.source, flow.destination, flow.backend]) {
          assert.match(address, /^[0-9a-f.:]+$/);
        }
        assert.match(flow.port, /^\d*$/);
      }
    }),
  );
});

/** A namespace's flows: "destination:port via backend". */
async function flowsOf(namespace: Namespace): Promise<readonly string[]> {
  const { stdout } = await namespace.run("conntrack", ["-L"]);
  return [...parseFlows(stdout)]
    .map(({ destination, port, backend }) => `${destination} ${port} via ${backend}`)
    .sort((a, b) => (a < b ? -1 : 1));
}

async function addFlows(
  namespace: Namespace,
  flows: readonly [to: string, port: number, backend: string][],
): Promise<void> {
  for (const [index, [to, port, backend]] of flows.entries()) {
    const from = to.includes(":") ? "fd00:9::9" : "10.9.0.9";
    const asked = `-s ${from} -d ${to} --sport ${1000 + index} --dport ${port}`;
    const answered = `-r ${backend} -q ${from} --reply-port-src 53 --reply-port-dst ${1000 + index}`;
    await namespace.run("conntrack", `-I -p udp ${asked} ${answered} -t 600`.split(" "));
  }
}

/** Runs programs in the namespace, and remembers their names. */
class NamespaceExec implements Exec {
  readonly programs: string[] = [];
  readonly #namespace: Namespace;

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
  }

  run(command: string, args: readonly string[], options?: RunOptions): Promise<RunResult> {
    this.programs.push(command);
    return this.#namespace.run(command, args, options);
  }

  start(): never {
    assert.fail();
  }
}

test("conntrack, forgets the flows of addresses that went, of both families, with two programs", async (t) => {
  await using namespace = await Namespace.open();
  await addFlows(namespace, [
    ["10.1.0.2", 53, "10.1.0.7"],
    ["10.1.0.2", 53, "10.1.0.8"],
    ["10.1.0.2", 53, "10.1.0.70"],
    ["fd00:1::2", 53, "fd00:1::7"],
    ["fd00:1::2", 53, "fd00:1::8"],
  ]);
  const exec = new NamespaceExec(namespace);
  const flows = new StaleFlows({ exec, log: silentLog, scratchRoot: await temporaryFolder(t) });
  flows.forget(["10.1.0.7", "fd00:1::7", "10.1.0.99"]);
  await flows.idle();
  assert.deepEqual(await flowsOf(namespace), [
    "10.1.0.2 53 via 10.1.0.70",
    "10.1.0.2 53 via 10.1.0.8",
    "fd00:1::2 53 via fd00:1::8",
  ]);
  assert.equal(exec.programs.length, 2);
  flows.forget(["10.1.0.99"]);
  await flows.idle();
  assert.equal(exec.programs.length, 3);
});

test("conntrack, forgets who asked a port of this host, and no other port or host", async (t) => {
  await using namespace = await Namespace.open();
  await addFlows(namespace, [
    ["10.9.0.1", 53, "10.9.0.1"],
    ["10.9.0.1", 54, "10.9.0.1"],
    ["10.9.0.3", 53, "10.9.0.3"],
    ["fd00:9::1", 53, "fd00:9::1"],
  ]);
  const exec = new NamespaceExec(namespace);
  const flows = new StaleFlows({ exec, log: silentLog, scratchRoot: await temporaryFolder(t) });
  const ports = ["10.9.0.1", "fd00:9::1"].map((address) => ({ address, port: 53 }));
  flows.forget([], ports);
  await flows.idle();
  assert.deepEqual(await flowsOf(namespace), [
    "10.9.0.1 54 via 10.9.0.1",
    "10.9.0.3 53 via 10.9.0.3",
  ]);
});

test("conntrack, leaves the flows of an address alone that is back before they were forgotten", async (t) => {
  await using namespace = await Namespace.open();
  await addFlows(namespace, [
    ["10.1.0.2", 53, "10.1.0.7"],
    ["10.1.0.2", 53, "10.1.0.8"],
    ["10.1.0.2", 53, "10.1.0.9"],
  ]);
  const exec = new NamespaceExec(namespace);
  const flows = new StaleFlows({ exec, log: silentLog, scratchRoot: await temporaryFolder(t) });
  flows.forget(["10.1.0.7", "10.1.0.8"]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(exec.programs, ["conntrack"], "the first look has begun");
  flows.keep(["10.1.0.8"]);
  flows.forget(["10.1.0.9"]);
  await flows.idle();
  assert.deepEqual(await flowsOf(namespace), ["10.1.0.2 53 via 10.1.0.8"]);
});

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "conntrack-"));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}
