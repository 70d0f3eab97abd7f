import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import { type CheckResult, type HostReport, parseHostReport } from "./host-report.ts";

const word = fc.stringMatching(/^[A-Za-z0-9:/._-]{1,12}$/);
const words = fc.array(word, { maxLength: 4 }).map((all) => all.join(" "));
const natural = fc.maxSafeNat();
const plain = { noNullPrototype: true };

const anyReport: fc.Arbitrary<HostReport> = fc.record(
  {
    checks: fc.array(
      fc.record(
        {
          name: word,
          result: fc.constantFrom<CheckResult>("ok", "missing", "warning"),
          detail: words,
          how: words,
        },
        plain,
      ),
    ),
    facts: fc.record(
      {
        arch: fc.constantFrom("x64" as const, "arm64" as const, "other" as const),
        kernel: word,
        os: words,
        osId: word,
        hostname: word,
        machineId: words,
        epochMs: natural,
        cgroup: fc.constantFrom(1 as const, 2 as const, undefined),
        cpus: natural,
        memoryBytes: natural,
        diskFreeBytes: natural,
        interfaces: fc.array(fc.record({ name: word, address: word }, plain)),
        defaultInterface: fc.option(word, { nil: undefined }),
        installedVersion: fc.option(word, { nil: undefined }),
        swarmdActive: fc.option(word, { nil: undefined }),
        apt: fc.boolean(),
        userId: natural,
        missingPackages: fc.array(word),
      },
      plain,
    ),
  },
  plain,
);

/** As package/check-host.sh prints it. */
function print({ checks, facts }: HostReport): string {
  const values: Record<string, string | number> = {
    arch: facts.arch,
    kernel: facts.kernel,
    os: facts.os,
    os_id: facts.osId,
    hostname: facts.hostname,
    machine_id: facts.machineId,
    epoch_ms: facts.epochMs,
    cgroup: facts.cgroup ?? "",
    cpus: facts.cpus,
    memory_bytes: facts.memoryBytes,
    disk_free_bytes: facts.diskFreeBytes,
    interfaces: facts.interfaces.map(({ name, address }) => `${name}=${address}`).join(","),
    default_interface: facts.defaultInterface ?? "",
    installed_version: facts.installedVersion ?? "",
    swarmd_active: facts.swarmdActive ?? "",
    apt: facts.apt ? "yes" : "no",
    user_id: facts.userId,
    missing_packages: facts.missingPackages.join(" "),
  };
  const lines = [
    ...checks.map(({ name, result, detail, how }) => ["check", name, result, detail, how]),
    ...Object.entries(values).map(([name, value]) => ["fact", name, String(value)]),
  ];
  return lines.map((line) => `${line.join("\t")}\n`).join("");
}

test("host report, what is printed is read", () => {
  fc.assert(
    fc.property(anyReport, (report) => {
      assert.deepEqual(parseHostReport(print(report)), report);
    }),
  );
});

test("host report, words around it and facts of later versions are passed over", () => {
  fc.assert(
    fc.property(anyReport, words, (report, noise) => {
      const text = `${noise}\r\n${print(report)}fact\tlater\tvalue\n${noise}\n`;
      assert.deepEqual(parseHostReport(text), report);
    }),
  );
});

test("host report, whatever a host says is a report that prints in lines, or a fault", () => {
  const line = fc.oneof(
    fc.string(),
    fc.string().map((text) => `check\tx\tok\t${text}`),
  );
  fc.assert(
    fc.property(anyReport, fc.array(line), (report, lines) => {
      try {
        const parsed = parseHostReport(`${lines.join("\n")}\n${print(report)}`);
        const texts = parsed.checks.flatMap(({ name, detail, how }) => [name, detail, how]);
        for (const text of texts) assert.doesNotMatch(text, /\p{Cc}/u);
      } catch (thrown) {
        assert.ok(thrown instanceof Fault, String(thrown));
      }
    }),
  );
});

test("host report, one that ends early is refused", () => {
  fc.assert(
    fc.property(anyReport, fc.nat(), (report, at) => {
      const text = print(report);
      const lines = text.split("\n").slice(0, -1);
      const cut = lines.slice(0, at % lines.length).join("\n");
      assert.throws(() => parseHostReport(cut), /The host's report is not whole: it does not say/);
    }),
  );
});

test("host report, a result or number that is none is refused", () => {
  assert.throws(() => parseHostReport("check\troot\tperhaps\t\t\n"), /check "root" is "perhaps"/);
});
