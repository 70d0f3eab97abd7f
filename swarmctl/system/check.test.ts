/** What shows about hosts only beside the others, as `system check` prints it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeMetadata } from "#proto/engine-services.ts";
import { Fault } from "#proto/fault.ts";
import type { CallContext } from "#proto/call-context.ts";
import { systemClock } from "#proto/system-ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { idOf } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";
import { amount } from "./host-findings.ts";

interface FakeHost {
  readonly hostname?: string;
  readonly machineId?: string;
  readonly aheadMs?: number;
  readonly version?: string;
  readonly installed?: string;
  readonly checks?: string;
}

/** As check-host prints it. */
function reportOf({
  hostname = "",
  machineId = "",
  installed = "",
  checks = "",
}: FakeHost): string {
  const facts: Readonly<Record<string, string>> = {
    arch: "x64",
    kernel: "6.1.0",
    os: "Debian GNU/Linux 12 (bookworm)",
    os_id: "debian",
    hostname,
    machine_id: machineId,
    epoch_ms: "0",
    cgroup: "2",
    cpus: "1",
    memory_bytes: "1",
    disk_free_bytes: "1",
    interfaces: "",
    default_interface: "",
    installed_version: installed,
    swarmd_active: "active",
    apt: "yes",
    user_id: "0",
    missing_packages: "",
  };
  const lines = Object.entries(facts).map(([name, value]) => `fact\t${name}\t${value}\n`);
  return ["check\troot\tok\tuser 0\t\n", checks, ...lines].join("");
}

/** Two nodes, h1 and h2; one that is undefined does not answer. */
async function open(h1: FakeHost, h2: FakeHost | undefined): Promise<FakeCluster> {
  const hosts = new Map([
    [idOf("h1"), { hostname: "h1", machineId: "1", ...h1 }],
    [idOf("h2"), h2 && { hostname: "h2", machineId: "2", ...h2 }],
  ]);
  return await FakeCluster.open({
    control: new FakeControl().handlers,
    hosts: {
      checkHost: async (_request: unknown, { metadata }: CallContext) => {
        const host = hosts.get(metadata.get(nodeMetadata) ?? "");
        if (host === undefined) throw new Fault("unavailable", "Cannot reach it");
        const { aheadMs = 0, version = "1.0.0" } = host;
        const now = timestampFromMs(systemClock.now() + aheadMs);
        return { report: reportOf(host), now, version };
      },
    },
  });
}

const tenMinutesMs = 10 * 60_000;

const cases: readonly (readonly [string, FakeHost, FakeHost | undefined, RegExp, number])[] = [
  ["hosts that lack nothing", {}, {}, /^Nothing is missing: 2 checks on h1, h2\.$/m, 0],
  [
    "a missing program",
    {},
    { checks: "check\tprogram:nft\tmissing\tnft is not there\tapt-get install nftables\n" },
    /^HOST +CHECK +RESULT +DETAIL +HOW\nh2 +program:nft +missing +nft is not there +apt-get install nftables\n$/,
    1,
  ],
  [
    "a warning",
    { checks: "check\tclock\twarning\tit drifts\tfix it\n" },
    {},
    /^h1 +clock +warning/m,
    0,
  ],
  [
    "clocks ten minutes apart",
    {},
    { aheadMs: tenMinutesMs },
    /^h2 +clocks +wrong +it is (10 min 0 s|9 min 59 s) ahead of that of h1 +synchronise h2 and h1: /m,
    1,
  ],
  [
    "a clock behind",
    { aheadMs: tenMinutesMs },
    {},
    /^h1 +clocks +wrong +it is .* ahead of that of h2/m,
    1,
  ],
  [
    "one machine-id on two hosts",
    { machineId: "9" },
    { machineId: "9" },
    /^h1 +machine-id +warning +"9" is also that of h2 .*\nh2 +machine-id +warning +"9" is also that of h1/m,
    0,
  ],
  [
    "one hostname on two hosts",
    { hostname: "web" },
    { hostname: "web" },
    /^h2 +hostname +wrong +"web" is also that of h1 +hostnamectl set-hostname/m,
    1,
  ],
  [
    "mixed versions",
    {},
    { version: "1.1.0" },
    /^h2 +version +warning +swarmd is 1\.1\.0; that of h1 is 1\.0\.0 +end the upgrade/m,
    0,
  ],
  [
    "a version that was installed and not started",
    { installed: "1.1.0" },
    {},
    /^h1 +installed +warning +swarmd runs as 1\.0\.0, and 1\.1\.0 is installed +systemctl restart swarmd/m,
    0,
  ],
  [
    "a host that does not answer",
    {},
    undefined,
    /^h2 +reachable +wrong +Node "h2" did not answer: Cannot/m,
    1,
  ],
];

for (const [name, h1, h2, expected, status] of cases) {
  test(`system check, ${name}`, async () => {
    await using cluster = await open(h1, h2);
    const { code, stdout } = await runCli(cluster, ["system", "check"]);
    assert.match(stdout, expected);
    assert.equal(code, status);
  });
}

test("system check, --local and --mesh contradict each other", async () => {
  const argv = ["system", "check", "--local", "--mesh"];
  const { code, stderr } = await runCli({ runRoot: "/nowhere" }, argv);
  assert.match(stderr, /--local is about this host/);
  assert.notEqual(code, 0);
});

test("system check, where no swarmd runs this host is checked", async () => {
  const { code, stdout, stderr } = await runCli({ runRoot: "/nowhere" }, ["system", "check", "-a"]);
  assert.match(stderr, /is swarmd running\? .* Only this host is checked$/m);
  assert.match(stdout, /^\S+ +architecture +ok +(x64|arm64)$/m);
  assert.ok(code === 0 || code === 1);
});

test("system check, amounts of time are said as people say them", () => {
  const amounts = [2_300, 59_000, 60_000, 600_000, 7_500_000].map(amount);
  assert.deepEqual(amounts, ["2.3 s", "59.0 s", "1 min 0 s", "10 min 0 s", "2 h 5 min"]);
});
