/** Deployments are reconciliations: what is there is brought to what the file says, once, and nothing else is touched. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import {
  ReplicatedServiceSchema,
  type ServiceSpec,
  ServiceSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import type { ObjectChange } from "#stacks/diff-stack.ts";
import { describeChange } from "#stacks/field-changes.ts";
import type { ControlClient } from "#stacks/look.ts";
import { DeployGround } from "./deploy-ground.ts";

const shop = `
services:
  web:
    image: nginx:1
    networks: [front, back]
    secrets: [password]
    configs: [{source: site, target: /etc/site.conf}]
    depends_on: {db: {condition: service_healthy}}
    ports: ["8080:80", {target: 443, published: 8443, mode: host}]
    volumes: ["data:/data", {type: tmpfs, target: /tmp, tmpfs: {size: 64m, mode: 01777}}]
    environment: {B: 2, A: 1}
    deploy:
      replicas: 2
      labels: {tier: front}
      update_config: {parallelism: 2, max_failure_ratio: 0.3, order: start-first, delay: 1500ms}
      restart_policy: {condition: on-failure, delay: 3s, max_attempts: 5, window: 2m}
      resources: {limits: {cpus: "0.5", memory: 64m, pids: 9}, reservations: {memory: 1m}}
      placement: {constraints: [node.role == worker], preferences: [{spread: node.labels.zone}], max_replicas_per_node: 4}
  db:
    image: postgres:17
    networks: {back: {aliases: [database]}}
    secrets: [{source: password, mode: 0400, uid: "70"}]
    healthcheck: {test: pg_isready, interval: 5s}
  monitor: {image: exporter, deploy: {mode: global}, network_mode: host}
  cleaner:
    image: busybox
    deploy: {mode: replicated-job, x-schedule: {cron: "*/5 * * * *", time_zone: Europe/Berlin, overlap: replace}}
networks: {front: {}, back: {internal: true, driver_opts: {encrypted: ""}}}
volumes: {data: {}}
secrets: {password: {file: ./password}}
configs: {site: {content: "server { }"}}
`;

test("deploy, a second time nothing at all is written", async () => {
  const ground = new DeployGround();
  const steps = await ground.deploy(shop);
  assert.deepEqual(steps, [
    "Creating network shop_front",
    "Creating network shop_back",
    "Creating network shop_default",
    "Creating secret shop_password",
    "Creating config shop_site",
    "Creating service shop_db",
    "Creating service shop_web",
    "Creating service shop_monitor",
    "Creating service shop_cleaner",
  ]);
  const before = ground.objects;
  for (const prune of [false, true]) {
    const again = await ground.deploy(shop, { prune });
    assert.deepEqual(again, [
      "Service shop_db is unchanged",
      "Service shop_web is unchanged",
      "Service shop_monitor is unchanged",
      "Service shop_cleaner is unchanged",
    ]);
    assert.deepEqual(ground.objects, before);
    assert.deepEqual(await ground.diff(shop, { prune }), []);
  }
});

test("deploy, changed files are rotated, and the services that use them updated", async () => {
  const ground = new DeployGround();
  ground.files.set("/password", "one");
  await ground.deploy(shop);
  ground.files.set("/password", "two");
  const steps = await ground.deploy(shop.replace("server { }", "server { listen 81; }"));
  assert.deepEqual(steps.slice(0, 2), [
    "Rotating secret shop_password",
    "Rotating config shop_site",
  ]);
  const { store } = ground.control;
  const secret = store.byName("secret", "shop_password");
  assert.equal(Buffer.from(secret?.spec?.data ?? []).toString(), "two");
  const specs = store.list("service").map(({ spec }) => spec?.task?.runtime);
  const used = specs.flatMap((runtime) =>
    runtime?.case === "container" ? runtime.value.secrets.map(({ secretId }) => secretId) : [],
  );
  assert.deepEqual(new Set(used), new Set([secret?.id]));
  const before = ground.objects;
  await ground.deploy(shop.replace("server { }", "server { listen 81; }"));
  assert.deepEqual(ground.objects, before);
});

test("deploy, a service whose image and config change is updated once: back are both together", async () => {
  const ground = new DeployGround();
  const file = (version: number) =>
    [
      `services: {web: {image: "a:${version}", configs: [c]}, other: {image: a, configs: [c]}}`,
      `configs: {c: {content: "for ${version}"}}`,
    ].join("\n");
  await ground.deploy(file(1));
  const { store } = ground.control;
  const first = store.byName("config", "shop_c")?.id;
  const before = store.byName("service", "shop_web")?.spec;
  await ground.deploy(file(2));
  const web = store.byName("service", "shop_web");
  assert.deepEqual(web?.previousSpec, before);
  const configs = (spec: ServiceSpec | undefined) =>
    spec?.task?.runtime.case === "container"
      ? spec.task.runtime.value.configs.map(({ configId }) => configId)
      : [];
  assert.deepEqual(configs(web?.previousSpec), [first]);
  const second = store.byName("config", "shop_c")?.id;
  for (const { spec } of store.list("service")) assert.deepEqual(configs(spec), [second]);
});

test("deploy, what a rotation updates is said to be updated, and told once by a diff", async () => {
  const ground = new DeployGround();
  const digest = `sha256:${"0".repeat(64)}`;
  const file = (content: string) =>
    `services: {web: {image: "a@${digest}", secrets: [s]}, db: {image: "b@${digest}"}}\nsecrets: {s: {content: ${content}}}`;
  await ground.deploy(file("one"));
  const changes = await ground.diff(file("two"), { resolveImage: "always" });
  assert.deepEqual(
    changes.map(({ name, change }) => `${name} ${change}`),
    ["shop_s rotated", "shop_web updated"],
  );
  assert.deepEqual(await ground.deploy(file("two")), [
    "Rotating secret shop_s",
    "Updating service shop_web",
    "Service shop_db is unchanged",
  ]);
});

test("deploy, a published port goes from one service to another", async () => {
  const ground = new DeployGround();
  const port = ", ports: ['90:80']";
  await ground.deploy(`services: {a: {image: a}, b: {image: b${port}}}`);
  const moved = `services: {a: {image: a, depends_on: [b]${port}}, b: {image: b}}`;
  const lines = (changes: readonly ObjectChange[]) =>
    changes.flatMap(({ name, fields }) =>
      fields.map((field) => `${name} ${describeChange(field)}`),
    );
  assert.deepEqual(lines(await ground.diff(moved)), [
    "shop_b - endpoint.ports[80].target_port: 80",
    "shop_b - endpoint.ports[80].published_port: 90",
    "shop_a + endpoint.ports[80].target_port: 80",
    "shop_a + endpoint.ports[80].published_port: 90",
    'shop_a + depends_on[shop_b].service: "shop_b"',
  ]);
  const alone = await ground.diff(`services: {a: {image: a${port}}}`, { prune: true });
  assert.deepEqual(
    alone.map(({ name, change }) => `${name} ${change}`),
    ["shop_b removed", "shop_a updated"],
  );
  assert.deepEqual(await ground.deploy(moved), [
    "Updating service shop_b",
    "Updating service shop_a",
  ]);
  const back = `services: {a: {image: a}, b: {image: b${port}}, c: {image: c, ports: ['91:80']}}`;
  assert.deepEqual(await ground.deploy(back), [
    "Updating service shop_a",
    "Updating service shop_b",
    "Creating service shop_c",
  ]);
  const on = `services: {c: {image: c${port}}, b: {image: b}, a: {image: a, ports: ['91:80']}}`;
  await assert.rejects(
    ground.deploy(on.replace("b: {image: b}", `b: {image: b${port}}`)),
    /port 90\/tcp is already published by service "shop_b"/,
  );
  await ground.deploy(on);
  assert.deepEqual(await ground.diff(on), []);
});

test("deploy, a refusal of the managers names the place in the file and what was to be done", async () => {
  const ground = new DeployGround();
  const empty = `${small}\nsecrets: {s: {content: ""}}`;
  const message = /^shop\.yml:2:11: Cannot create secret "shop_s": data has 0 bytes/;
  await assert.rejects(ground.deploy(empty), { name: "Fault", message });
  const wrong = small.replace("}}", ", deploy: {placement: {constraints: [node.rol == a]}}}}");
  await assert.rejects(ground.deploy(wrong), {
    message:
      /^shop\.yml:1:\d+: Cannot create service "shop_web": task\.placement\.constraints\[0\]/,
  });
});

test("deploy, labels of files change without a new version", async () => {
  const ground = new DeployGround();
  await ground.deploy(shop);
  const id = ground.control.store.byName("config", "shop_site")?.id;
  const labelled = shop.replace('{content: "', '{labels: {a: b}, content: "');
  const steps = await ground.deploy(labelled);
  assert.equal(steps[0], "Changing the labels of config shop_site");
  const config = ground.control.store.byName("config", "shop_site");
  assert.deepEqual([config?.id, config?.spec?.annotations?.labels["a"]], [id, "b"]);
});

const small = "services: {web: {image: nginx}}";

test("deploy --prune, takes away what the file does not name, and nothing of others", async () => {
  const ground = new DeployGround();
  await ground.deploy(shop);
  await ground.deploy(
    shop.replaceAll(/\d+:\d+"/g, '99"').replace("published: 8443", "published: 8444"),
    {
      name: "other",
    },
  );
  const others = ground.names.filter((name) => name.includes("other_"));
  await ground.deploy(small, { prune: true });
  const left = ground.names.filter((name) => !name.includes("other_"));
  assert.deepEqual(left, ["network shop_default", "service shop_web"]);
  assert.deepEqual(
    ground.names.filter((name) => name.includes("other_")),
    others,
  );
});

test("deploy, without --prune what the file does not name stays", async () => {
  const ground = new DeployGround();
  await ground.deploy(shop);
  const { names } = ground;
  await ground.deploy(small);
  assert.deepEqual(ground.names, names);
});

test("deploy, a network that differs is made anew where nobody is on it, and refused before anything is done", async () => {
  const ground = new DeployGround();
  const file = (network: string, image = "nginx") =>
    `services: {web: {image: ${image}, networks: [n]}}\nnetworks: {n: ${network}}`;
  await ground.deploy(file("{}"));
  const before = ground.objects;
  await assert.rejects(ground.deploy(file("{internal: true}", "nginx:2")), {
    message:
      /Network "shop_n" differs from the file \(\+ internal: true\) and cannot change while "shop_web" is on it/,
  });
  assert.deepEqual(ground.objects, before);
  await ground.deploy(file("{labels: {a: b}}"));
  assert.deepEqual(ground.warnings, [
    "network shop_n keeps the labels that it has while services are on it",
  ]);
  await ground.control.client.removeService({ ref: "shop_web" });
  const steps = await ground.deploy(file("{internal: true}"));
  assert.deepEqual(steps, [
    "Replacing network shop_n, which nobody uses",
    "Creating service shop_web",
  ]);
});

test("deploy, what somebody scaled or forced by hand stays where the file says nothing of it", async () => {
  const ground = new DeployGround();
  await ground.deploy(small);
  const { client, store } = ground.control;
  const service = store.byName("service", "shop_web");
  assert.ok(service?.spec?.task !== undefined);
  const value = create(ReplicatedServiceSchema, { replicas: 7n });
  const spec: ServiceSpec = {
    ...service.spec,
    mode: { case: "replicated", value },
    task: { ...service.spec.task, forceUpdate: 3n },
  };
  const version = service.meta?.version;
  await client.updateService({ ref: service.id, spec, ...(version && { version }) });
  const before = ground.objects;
  assert.deepEqual(await ground.deploy(small), ["Service shop_web is unchanged"]);
  assert.deepEqual(ground.objects, before);
  const scaled = "services: {web: {image: nginx, deploy: {replicas: 1}}}";
  assert.deepEqual(await ground.deploy(scaled), ["Updating service shop_web"]);
});

test("deploy, what was interrupted goes on when it is run again", async () => {
  const ground = new DeployGround();
  const { client } = ground.control;
  for (const failing of [
    "createSecret",
    "createConfig",
    "createService",
    "createNetwork",
  ] as const) {
    const broken = new Proxy(client, {
      get: (target, key) =>
        key === failing
          ? () => Promise.reject(new Fault("unavailable", "the manager went away"))
          : Reflect.get(target, key),
    }) as ControlClient;
    const name = failing.toLowerCase();
    const text = shop.replaceAll(/ports: .*\n/g, "\n");
    await assert.rejects(ground.deploy(text, { name, client: broken }), /the manager went away/);
    await ground.deploy(text, { name });
    assert.deepEqual(await ground.diff(text, { name }), []);
  }
});

const refused: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  [
    "a missing external network",
    "services: {web: {image: a, networks: [n]}}\nnetworks: {n: {external: true}}",
    /Network "n" is external to the stack and does not exist: create it first/,
  ],
  [
    "a missing external secret",
    "services: {web: {image: a, secrets: [s]}}\nsecrets: {s: {external: true}}",
    /Secret "s" is external to the stack and does not exist/,
  ],
  [
    "a missing external config",
    "services: {web: {image: a, configs: [c]}}\nconfigs: {c: {external: true, name: other}}",
    /Config "other" is external to the stack and does not exist/,
  ],
  [
    "another's service",
    "services: {two: {image: a}}",
    /Service "shop_two" is there already and belongs to the stack "shop_x"/,
  ],
  [
    "another mode",
    "services: {web: {image: nginx, deploy: {mode: global}}}",
    /Service "shop_web" is replicated and cannot become global: run "swarmctl service rm shop_web"/,
  ],
];
for (const [what, text, message] of refused) {
  test(`deploy, ${what} is refused before anything is done`, async () => {
    const ground = new DeployGround();
    await ground.deploy(small);
    const labels = { "com.docker.stack.namespace": "shop_x" };
    const spec = create(ServiceSpecSchema, {
      annotations: { name: "shop_two", labels },
      mode: { case: "replicated", value: { replicas: 1n } },
      task: { runtime: { case: "container", value: { image: "a" } } },
    });
    await ground.control.client.createService({ spec });
    const before = ground.objects;
    await assert.rejects(ground.deploy(text), { name: "Fault", message });
    assert.deepEqual(ground.objects, before);
  });
}

/** Stacks of a few parts, any of which may change or go. */
const parts = fc.record({
  web: fc.constantFrom(
    "",
    "image: a:1",
    "image: a:2",
    "image: a:1, secrets: [s]",
    "image: a:1, configs: [c]",
  ),
  db: fc.constantFrom("", "image: d, networks: [n]", "image: d, deploy: {mode: global}"),
  secret: fc.constantFrom("one", "two"),
  config: fc.constantFrom("x", "y"),
});

function textOf({
  web,
  db,
  secret,
  config,
}: typeof parts extends fc.Arbitrary<infer T> ? T : never) {
  return [
    `services: {${[web && `web: {${web}}`, db && `db${db.includes("mode") ? "2" : ""}: {${db}}`].filter(Boolean).join(", ")}}`,
    "networks: {n: {}}",
    `secrets: {s: {content: ${secret}}}`,
    `configs: {c: {content: ${config}}}`,
  ].join("\n");
}

test("deploy, of whatever was there before, the second time is empty and others' objects stay", async () => {
  await fc.assert(
    fc.asyncProperty(parts, parts, fc.boolean(), async (first, second, prune) => {
      const ground = new DeployGround();
      await ground.deploy(textOf(first), { name: "other" });
      const others = ground.objects;
      await ground.deploy(textOf(first));
      await ground.deploy(textOf(second), { prune });
      const before = ground.objects;
      assert.deepEqual(await ground.diff(textOf(second), { prune }), []);
      const steps = await ground.deploy(textOf(second), { prune });
      assert.ok(
        steps.every((step) => step.endsWith(" is unchanged")),
        steps.join("\n"),
      );
      assert.deepEqual(ground.objects, before);
      for (const [name, version] of Object.entries(others)) assert.equal(before[name], version);
    }),
    { numRuns: 40 },
  );
});

test("diff, names the fields of every object, and writes nothing", async () => {
  const ground = new DeployGround();
  const text = (image: string, more = "") =>
    `services: {web: {image: "${image}"${more}}}\nsecrets: {s: {content: ${more ? "two" : "one"}}}`;
  assert.deepEqual(
    (await ground.diff(text("nginx:1"))).map(
      ({ noun, name, change }) => `${noun} ${name} ${change}`,
    ),
    ["network shop_default created", "secret shop_s created", "service shop_web created"],
  );
  await ground.deploy(text("nginx:1"));
  const before = ground.objects;
  const changes = await ground.diff(text("nginx:2", ", secrets: [s]"));
  assert.deepEqual(
    changes.map(({ name, change, fields }) => [name, change, ...fields.map(describeChange)]),
    [
      ["shop_s", "rotated", "~ data: (data) -> (other data)"],
      [
        "shop_web",
        "updated",
        '~ annotations.labels[com.docker.stack.image]: "nginx:1" -> "nginx:2"',
        '~ task.container.image: "nginx:1" -> "nginx:2"',
        `+ task.container.secrets[shop_s].secret_id: "${ground.control.store.byName("secret", "shop_s")?.id}"`,
        '+ task.container.secrets[shop_s].secret_name: "shop_s"',
        '+ task.container.secrets[shop_s].file.name: "s"',
        '+ task.container.secrets[shop_s].file.uid: "0"',
        '+ task.container.secrets[shop_s].file.gid: "0"',
        "+ task.container.secrets[shop_s].file.mode: 292",
      ],
    ],
  );
  const pruned = await ground.diff("services: {}", { prune: true });
  assert.deepEqual(
    pruned.map(({ noun, name, change }) => `${noun} ${name} ${change}`),
    ["service shop_web removed", "secret shop_s removed", "network shop_default removed"],
  );
  assert.deepEqual(ground.objects, before);
});

test("rm, takes all of the stack but what others use, and says who that is", async () => {
  const ground = new DeployGround();
  await ground.deploy(shop);
  const other =
    "services: {x: {image: a, secrets: [s]}}\nsecrets: {s: {external: true, name: shop_password}}";
  await ground.deploy(other, { name: "other" });
  await assert.rejects(ground.remove(), {
    message: /Cannot remove secret "shop_password": it is used by service "other_x"/,
  });
  const left = ground.names.filter((name) => name.includes("shop_"));
  assert.deepEqual(left, ["secret shop_password"]);
  await ground.remove("other");
  assert.deepEqual(await ground.remove(), ["Removing secret shop_password"]);
  assert.deepEqual(ground.names, []);
  await assert.rejects(ground.remove(), /Nothing found in stack "shop"/);
});
