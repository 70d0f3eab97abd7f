import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { MountPropagation, MountType } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseEnvironmentFile } from "../service/environment.ts";
import { changedFiles, filesFromFlags, parseConfig, parseSecret } from "../service/file-flags.ts";
import { parseMount } from "../service/mount.ts";
import { parseNetworkAttachment } from "../service/network-attachment.ts";
import { durationMs, integer, pair, parseFields, wholeNumber } from "./parse-flag.ts";

describe("numbers and durations of flags", () => {
  it("are read", () => {
    assert.equal(wholeNumber("0"), 0n);
    assert.equal(wholeNumber("300"), 300n);
    assert.equal(integer("-1"), -1n);
    assert.equal(durationMs("1m30s"), 90_000);
    assert.equal(durationMs("0"), 0);
  });

  it("are refused where they are something else", () => {
    for (const text of ["-1", "1.5", "three", "", " 1", "1e3", "0x1", "9".repeat(30)]) {
      assert.throws(() => wholeNumber(text), { name: "Fault" }, text);
    }
    for (const text of ["", "5", "-5s", "5 s", "s"]) {
      assert.throws(() => durationMs(text), { name: "Fault" }, text);
    }
  });
});

describe("key=value flags", () => {
  it("split at the first equals sign", () => {
    assert.deepEqual(pair("a=b=c"), { key: "a", value: "b=c" });
    assert.deepEqual(pair("a"), { key: "a", value: "" });
    assert.throws(() => pair("=a"), { name: "Fault" });
  });

  it("hold commas inside quotes", () => {
    assert.deepEqual(parseFields('a=1,"b=2,3",c'), [
      { key: "a", value: "1" },
      { key: "b", value: "2,3" },
      { key: "c", value: "" },
    ]);
  });
});

describe("--secret, --config", () => {
  it("take a name, or where and for whom the file is", () => {
    const { secretName, file } = parseSecret("src=db,target=/etc/db,uid=7,gid=8,mode=0400");
    assert.deepEqual(
      [secretName, file?.name, file?.uid, file?.gid, file?.mode],
      ["db", "/etc/db", "7", "8", 0o400],
    );
    const plain = parseConfig("app.conf");
    assert.deepEqual(
      [plain.configName, plain.file?.name, plain.file?.mode],
      ["app.conf", "app.conf", 0o444],
    );
  });

  for (const [text, message] of [
    ["target=x", /Say source=NAME/],
    ["source=a,owner=7", /"owner" is none of source, target/],
    ["source=a,mode=rw", /"rw" is not an octal mode/],
    ["source=a,src=b", /"source" is given twice/],
  ] as const) {
    it(`refuse ${text}`, () => {
      assert.throws(() => parseSecret(text), { message });
    });
  }
});

describe("changed mounts, secrets and configs", () => {
  it("are added by their place, taken out by target or name", () => {
    const before = filesFromFlags({
      mount: [parseMount("src=one,dst=/a"), parseMount("src=two,dst=/b")],
      secret: [parseSecret("db"), parseSecret("source=db,target=again"), parseSecret("key")],
      config: [parseConfig("app.conf")],
    });
    const after = changedFiles(before, {
      mountAdd: [parseMount("src=three,dst=/a,ro")],
      mountRm: ["/b"],
      secretRm: ["db"],
      secretAdd: [parseSecret("source=key2,target=key")],
      configRm: ["app.conf"],
    });
    assert.deepEqual(
      after.mounts.map(({ source }) => source),
      ["three"],
    );
    assert.deepEqual(
      after.secrets.map(({ secretName }) => secretName),
      ["key2"],
    );
    assert.deepEqual(after.configs, []);
  });
});

describe("--mount", () => {
  it("reads volumes, which are the default, with all that Docker says of them", () => {
    const mount = parseMount(
      'source=data,target=/d,volume-nocopy,volume-label=a=b,volume-opt=type=nfs,"volume-opt=o=addr=x,rw",volume-opt=device=:/e,volume-subpath=p,consistency=cached',
    );
    assert.equal(mount.type, MountType.VOLUME);
    assert.deepEqual([mount.source, mount.consistency], ["data", "cached"]);
    const { noCopy, labels, subpath, driverConfig } = mount.volumeOptions ?? {};
    assert.deepEqual([noCopy, labels, subpath], [true, { a: "b" }, "p"]);
    assert.equal(driverConfig?.name, "local");
    assert.deepEqual(driverConfig.options, { type: "nfs", o: "addr=x,rw", device: ":/e" });
    assert.equal(parseMount("target=/d").volumeOptions, undefined);
  });

  it("reads how a bind spreads", () => {
    const mount = parseMount(
      "type=bind,src=/a,dst=/b,ro,bind-propagation=rslave,bind-recursive=writable,bind-create-src",
    );
    const { propagation, readOnlyNonRecursive, createMountpoint } = mount.bindOptions ?? {};
    assert.deepEqual(
      [propagation, readOnlyNonRecursive, createMountpoint],
      [MountPropagation.RSLAVE, true, true],
    );
  });

  it("binds a folder", () => {
    const mount = parseMount("type=bind,src=/a,dst=/b,ro,bind-nonrecursive");
    assert.equal(mount.type, MountType.BIND);
    assert.deepEqual([mount.source, mount.target, mount.readOnly], ["/a", "/b", true]);
    assert.equal(mount.bindOptions?.nonRecursive, true);
  });

  it("makes a tmpfs", () => {
    const mount = parseMount("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770");
    assert.equal(mount.tmpfsOptions?.sizeBytes, 67_108_864n);
    assert.equal(mount.tmpfsOptions?.mode, 0o1770);
  });

  const refused = [
    ["type=cluster,target=/b", /Choose one of: bind, volume, tmpfs/],
    ["source=x,target=b", /target=/],
    ["type=bind,target=/b", /source=/],
    ["type=bind,source=a,target=/b", /source=/],
    ["type=bind,source=/a", /target=/],
    ["type=tmpfs,source=/a,target=/b", /no source/],
    ["type=tmpfs,target=/b,tmpfs-mode=9", /octal/],
    ["type=tmpfs,target=/b,bind-nonrecursive", /does not go with type=tmpfs/],
    ["type=bind,source=/a,target=/b,target=/c", /given twice/],
    ["type=bind,source=/a,target=/b,rO=maybe", /Choose one of|does not go/],
    ['type="bind', /quote out of place/],
  ] as const;
  for (const [text, message] of refused) {
    it(`refuses ${text}`, () => {
      assert.throws(() => parseMount(text), { name: "Fault", message });
    });
  }
});

describe("--network", () => {
  it("is a name, or a name with aliases", () => {
    assert.equal(parseNetworkAttachment("back").target, "back");
    assert.deepEqual(parseNetworkAttachment("name=back,alias=a,alias=b").aliases, ["a", "b"]);
  });

  it("has an address for each replica, in the form that managers take", () => {
    const text = "name=back,ip=10.0.0.5,ip=10.0.0.6,ip=FD00:0::5,driver-opt=a=b";
    const { addresses, driverAttachmentOpts } = parseNetworkAttachment(text);
    assert.deepEqual(addresses, ["10.0.0.5", "10.0.0.6", "fd00::5"]);
    assert.deepEqual(driverAttachmentOpts, { a: "b" });
  });

  it("is an attachment or a Fault, whatever the text", () => {
    const part = fc.constantFrom(
      "name=",
      "alias=",
      "ip=",
      "driver-opt=",
      "a",
      ",",
      '"',
      "10.0.0.5",
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(fc.oneof(part, fc.string({ maxLength: 4 }))).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(text, (input) => {
        try {
          assert.notEqual(parseNetworkAttachment(input).target, "");
        } catch (thrown) {
          assert.ok(thrown instanceof Fault && thrown.code === "invalid-argument");
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it("is refused without a name or with anything else", () => {
    for (const text of ["", "alias=a", "name=a,mac=02:42", "name=a,ip=ten", "name=a,ip="]) {
      assert.throws(() => parseNetworkAttachment(text), { name: "Fault" });
    }
  });
});

describe("--env-file", () => {
  it("has a variable a line, comments, and values taken as they are", () => {
    const text = '\uFEFF# no\r\nA=1\r\n\r\n  B="x y"\nC\nD=\n';
    assert.deepEqual(parseEnvironmentFile(text, "f"), ["A=1", 'B="x y"', "C", "D="]);
  });

  it("is refused with file and line", () => {
    assert.throws(() => parseEnvironmentFile("A=1\nexport B=2", "f.env"), {
      message: 'f.env:2: "export B=" is not NAME=value',
    });
  });
});

it("parsers of flags throw nothing but Faults", () => {
  const parsers = [
    parseMount,
    parseSecret,
    parseConfig,
    parseNetworkAttachment,
    parseFields,
    pair,
    wholeNumber,
    durationMs,
  ];
  const words = fc.constantFrom(
    "type=",
    "bind",
    "tmpfs",
    "volume-opt=",
    "mode=",
    ",",
    "target=/",
    '"',
    "=",
    "source=/",
    "a",
  );
  const texts = fc.oneof(
    fc.string(),
    fc.array(words).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(texts, (text) => {
      for (const parse of [...parsers, (file: string) => parseEnvironmentFile(file, "f")]) {
        try {
          parse(text);
        } catch (thrown) {
          assert(thrown instanceof Fault, String(thrown));
        }
      }
    }),
  );
});
