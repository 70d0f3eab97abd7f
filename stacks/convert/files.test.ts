import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { MountPropagation, MountType } from "#proto/gen/swarm/v1/types_pb.ts";
import { stackFrom } from "../testing/stack-from.ts";
import type { Stack } from "../stack.ts";

const parse = (text: string): Stack =>
  stackFrom({ name: "shop", file: "shop.yml", folder: "/home/a/shop", text });

/** The container of the service `x`, described by these lines, in a file with these others. */
function container(lines: readonly string[], top: readonly string[] = []): ContainerSpec {
  const [service] = parse(fileOf(lines, top)).services;
  assert(service?.task?.runtime.case === "container");
  return service.task.runtime.value;
}

function fileOf(lines: readonly string[], top: readonly string[]): string {
  const body = ["services:", "  x:", "    image: a", ...lines.map((line) => `    ${line}`)];
  return [...body, ...top].join("\n");
}

function refusal(lines: readonly string[], top: readonly string[] = []): string {
  try {
    parse(fileOf(lines, top));
  } catch (thrown) {
    assert(thrown instanceof Fault, String(thrown));
    return thrown.message;
  }
  assert.fail("nothing was refused");
}

describe("volumes of a stack file", () => {
  it("are short: of the stack, of the host, without a name, with modes", () => {
    const { mounts } = container(
      [
        "volumes:",
        '  - "data:/data:nocopy"',
        '  - "/srv:/srv:ro,rslave"',
        '  - "./web:/web"',
        '  - "/anonymous"',
      ],
      ["volumes: {data: {labels: {a: b}, driver_opts: {type: tmpfs, device: tmpfs}}}"],
    );
    const plain = mounts.map(({ type, source, target, readOnly }) => [
      type,
      source,
      target,
      readOnly,
    ]);
    assert.deepEqual(plain, [
      [MountType.VOLUME, "shop_data", "/data", false],
      [MountType.BIND, "/srv", "/srv", true],
      [MountType.BIND, "/home/a/shop/web", "/web", false],
      [MountType.VOLUME, "", "/anonymous", false],
    ]);
    const options = mounts[0]?.volumeOptions;
    assert.equal(options?.noCopy, true);
    assert.deepEqual(options.labels, { a: "b", "com.docker.stack.namespace": "shop" });
    assert.deepEqual(options.driverConfig?.options, { type: "tmpfs", device: "tmpfs" });
    assert.equal(mounts[1]?.bindOptions?.propagation, MountPropagation.RSLAVE);
  });

  it("are long: with everything that there is of each type", () => {
    const { mounts } = container(
      [
        "volumes:",
        "  - {type: volume, source: data, target: /d, read_only: true, volume: {subpath: p}}",
        "  - {type: bind, source: /s, target: /s, bind: {create_host_path: true, recursive: readonly}}",
        "  - {type: tmpfs, target: /t, tmpfs: {size: 64m, mode: 0700}}",
        "tmpfs: /run:exec,size=1m",
      ],
      ["volumes: {data: {external: true, name: shared}}"],
    );
    const [volume, bind, tmpfs, short] = mounts;
    assert.deepEqual([volume?.source, volume?.volumeOptions?.subpath], ["shared", "p"]);
    assert.deepEqual(volume?.volumeOptions?.labels, {});
    assert.equal(bind?.bindOptions?.createMountpoint, true);
    assert.equal(bind.bindOptions.readOnlyForceRecursive, true);
    assert.equal(tmpfs?.tmpfsOptions?.sizeBytes, 64n << 20n);
    assert.equal(tmpfs.tmpfsOptions.mode, 0o700);
    assert.deepEqual([short?.target, short?.tmpfsOptions?.options], ["/run", "exec,size=1m"]);
  });

  for (const [line, message] of [
    ['volumes: ["data:/data"]', /names the volume "data", which the file does not define/],
    ['volumes: ["~/x:/data"]', /write a path that begins with "\/"/],
    ['volumes: ["/a:/b:fast"]', /has the mode "fast", which has no meaning/],
    ['volumes: ["/a:/b:ro:x"]', /is not \[SOURCE:\]TARGET\[:MODE\]/],
    ["volumes: [{type: cluster, target: /x}]", /type is cluster, which is not supported/],
    ["volumes: [{type: disk, target: /x}]", /must be bind, volume, tmpfs/],
    ["volumes: [{type: bind, target: /x}]", /is a bind without a source/],
  ] as const) {
    it(`refuse ${line}`, () => assert.match(refusal([line]), message));
  }
});

describe("secrets and configs of a stack file", () => {
  const top = [
    "secrets:",
    "  db: {file: ./db.txt, labels: {a: b}}",
    "  key: {environment: KEY, template_driver: golang}",
    "  old: {external: {name: real}}",
    "configs:",
    "  conf: {content: 'cost: 5 $$', name: fixed}",
  ];

  it("are made with the stack's name, and read by their services", () => {
    const lines = [
      "secrets: [db, {source: old, target: /etc/old, uid: '7', mode: 0440}]",
      "configs: [{source: conf, mode: '0o400'}]",
    ];
    const stack = parse(fileOf(lines, top));
    assert.deepEqual(
      stack.secrets.map(({ name, from, templateDriver }) => [name, from, templateDriver]),
      [
        ["shop_db", { file: "/home/a/shop/db.txt" }, undefined],
        ["shop_key", { environment: "KEY" }, "golang"],
      ],
    );
    assert.deepEqual(stack.externalSecrets, ["real"]);
    assert.deepEqual(parse(fileOf([], top)).externalSecrets, [], "nobody uses it");
    assert.deepEqual(stack.configs[0]?.from, { content: "cost: 5 $" });
    const { secrets, configs } = container(lines, top);
    const plain = secrets.map(({ secretName, file }) => [
      secretName,
      file?.name,
      file?.uid,
      file?.mode,
    ]);
    assert.deepEqual(plain, [
      ["shop_db", "db", "0", 0o444],
      ["real", "/etc/old", "7", 0o440],
    ]);
    assert.deepEqual([configs[0]?.configName, configs[0]?.file?.mode], ["fixed", 0o400]);
  });

  for (const [lines, rest, message] of [
    ["secrets: [none]", top, /names the secret "none", which the file does not define/],
    ["secrets: [{source: db, mode: 9}]", top, /"9" is not an octal mode/],
    ["secrets: [{source: db, mode: 0000}]", top, /"0000" is not an octal mode of 1 to 7777/],
    ["configs: []", ["configs: {c: {file: a, content: b}}"], /must have one of file, environment/],
    [
      "configs: []",
      ["secrets: {c: {content: a, name: n}, d: {content: b, name: n}}"],
      /secrets\.d is called "n", as secrets\.c is: give it another name/,
    ],
    ["configs: []", ["secrets: {c: }"], /must have one of file, environment/],
  ] as const) {
    it(`refuse ${lines} with ${rest.length} lines`, () => {
      assert.match(refusal([lines], rest), message);
    });
  }
});

describe("whatever stands where volumes, secrets and configs are expected", () => {
  it("is taken, or refused by a Fault", () => {
    const keys = fc.constantFrom("volumes", "tmpfs", "secrets", "configs");
    const words = fc.constantFrom(":", "/a", "data", "ro", ",", "{{", "..", "~");
    const texts = fc.array(words).map((parts) => JSON.stringify([parts.join("")]));
    fc.assert(
      fc.property(keys, fc.oneof(fc.json(), texts), (key, value) => {
        const top = `"volumes":{"data":${value}},"secrets":{"data":${value}}`;
        for (const text of [
          `{"services":{"x":{"image":"a","${key}":${value}}},"volumes":{"data":null}}`,
          `{"services":{"x":{"image":"a","volumes":["data:/a"],"secrets":["data"]}},${top}}`,
        ]) {
          try {
            parse(text);
          } catch (thrown) {
            assert(thrown instanceof Fault, String(thrown));
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
