import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { WatchResponseSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  type Config,
  ConfigSchema,
  type Service,
  StoreActionKind,
  StoreObjectSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { nouns } from "../commands.ts";
import { dockerVerbs, flagDifferences } from "../testing/docker-flags.ts";
import { FakeCluster, type FakeHost } from "../testing/fake-cluster.ts";
import { aService, aServiceSpec, idOf, nowMs } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

describe("secret and config, as Docker has them", () => {
  for (const noun of ["secret", "config"]) {
    const verbs = nouns.find(({ name }) => name === noun)?.verbs ?? [];
    it(`${noun} has all verbs and flags`, async () => {
      const names = verbs.map(({ name }) => name);
      assert.deepEqual(
        dockerVerbs(noun).filter((verb) => !names.includes(verb)),
        [],
      );
      for (const verb of verbs) {
        assert.deepEqual(await flagDifferences(`${noun} ${verb.name}`, verb), []);
      }
    });
  }
});

function siteConfig(): Config {
  return create(ConfigSchema, {
    id: idOf("site"),
    meta: { version: { index: 7n }, createdAt: timestampFromMs(nowMs) },
    spec: {
      annotations: { name: "site", labels: { a: "b" } },
      data: Buffer.from("a\tb\n\x1b[31mc"),
      templating: { name: "golang" },
    },
  });
}

describe("config and secret", () => {
  it("are shown for people, without what a terminal would obey", async () => {
    const control = { getConfig: async () => ({ config: siteConfig() }) };
    await using cluster = await FakeCluster.open({ control });
    const { stdout } = await runCli(cluster, ["config", "inspect", "--pretty", "site"]);
    assert.match(stdout, /^ID: +site0+\nName: +site\nLabels:\n - a=b\nCreated at: +2026-01-02T/);
    assert.match(stdout, /Templating: +golang\nData:\na\tb\n/);
    assert.ok(!stdout.includes("\x1b"));
  });

  it("are listed by template, with Docker's fields", async () => {
    const control = { listConfigs: async () => ({ configs: [siteConfig()] }) };
    await using cluster = await FakeCluster.open({ control });
    const format = '{{.Name}} {{.Label "a"}} {{.Labels}} {{.CreatedAt}}';
    const { stdout } = await runCli(cluster, ["config", "ls", "--format", format]);
    assert.match(stdout, /^site b a=b .*ago\n$/);
  });

  it("change their labels, and nothing else", async () => {
    const asked: unknown[] = [];
    const control: FakeHost["control"] = {
      getConfig: async () => ({ config: siteConfig() }),
      updateConfig: async ({ ref, version, spec }) => {
        if (asked.push([ref, version?.index, spec?.annotations, spec?.data.length]) === 1) {
          throw new Fault("conflict", "somebody was faster");
        }
        return {};
      },
    };
    await using cluster = await FakeCluster.open({ control });
    const words = ["config", "update", "--label-add", "c=d", "--label-rm", "a", "site"];
    assert.equal((await runCli(cluster, words)).stdout, "site\n");
    const annotations = { $typeName: "swarm.v1.Annotations", name: "site", labels: { c: "d" } };
    assert.deepEqual(asked[1], [idOf("site"), 7n, annotations, 0]);
    const nothing = await runCli(cluster, ["config", "update", "site"]);
    assert.match(nothing.stderr, /Nothing to change: give --label-add .* "config rotate"/);
  });

  it("need data", async () => {
    const control = {};
    await using cluster = await FakeCluster.open({ control });
    const { code, stderr } = await runCli(cluster, ["secret", "create", "db"]);
    assert.equal(code, 1);
    assert.match(stderr, /What shall the secret hold\? Name a file, or "-" for stdin/);
  });
});

/** One that rolls, and a job, both of which read the secret. */
function rotating({ unchanged = false } = {}) {
  const asked: string[] = [];
  const services = new Map<string, Service>(
    ["web", "job"].map((name) => {
      const spec = aServiceSpec(name, 0n);
      const service = aService(
        name === "web" ? spec : { ...spec, mode: { case: "globalJob", value: {} as never } },
      );
      return [service.id, service];
    }),
  );
  const control: NonNullable<FakeHost["control"]> = {
    rotateSecret: async ({ ref, data }) => {
      asked.push(`${ref} ${Buffer.from(data).toString()}`);
      const secret = { id: idOf("new"), spec: { annotations: { name: "db" } } };
      return { secret, serviceIds: unchanged ? [] : [...services.keys()], unchanged };
    },
    getService: async ({ ref }) => {
      const service = services.get(ref);
      return service === undefined ? {} : { service };
    },
    async *watch(_request, { signal }) {
      const events = [...services.values()].map((value) => {
        const object = create(StoreObjectSchema, { object: { case: "service", value } });
        return { action: { kind: StoreActionKind.CREATE, object } };
      });
      yield create(WatchResponseSchema, { events });
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
  };
  return { asked, control };
}

describe("secret rotate", () => {
  it("sends what stdin holds, says which services take it, and waits for those that roll", async () => {
    const { asked, control } = rotating();
    await using cluster = await FakeCluster.open({ control });
    const words = ["secret", "rotate", "db", "-"];
    const { code, stdout, stderr } = await runCli(cluster, words, { stdin: "hunter2" });
    assert.deepEqual([code, stderr, asked], [0, "", ["db hunter2"]]);
    assert.match(stdout, /^new0+\ndb updates web and is read by job from the next run on\n/);
    assert.ok(!stdout.includes("hunter2"));
  });

  it("with -d returns at once, with -q prints the ID alone", async () => {
    const { control } = rotating();
    await using cluster = await FakeCluster.open({
      control: { ...control, watch: undefined as never },
    });
    const words = ["secret", "rotate", "-d", "-q", "db", "-"];
    const { stdout } = await runCli(cluster, words, { stdin: "hunter2" });
    assert.equal(stdout, `${idOf("new")}\n`);
  });

  it("the same data: says that nothing was changed", async () => {
    const { control } = rotating({ unchanged: true });
    await using cluster = await FakeCluster.open({ control });
    const { stdout } = await runCli(cluster, ["secret", "rotate", "db", "-"], { stdin: "same" });
    assert.match(stdout, /\ndb has this data already: nothing was changed\n$/);
  });
});
