import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseManifest, selectPlatform } from "./manifest.ts";
import { blobOf, imageOf, layerType, manifestType } from "./testing/test-image.ts";

const image = imageOf([Buffer.from("a layer")]);
const valid = JSON.parse(image.manifest.bytes.toString());
const [validLayer] = valid.layers;
const bytesOf = (value: unknown) => Buffer.from(JSON.stringify(value));

describe("a manifest", () => {
  test("of Docker's type, is an image like OCI's", () => {
    const docker = {
      ...valid,
      mediaType: "application/vnd.docker.distribution.manifest.v2+json",
      config: { ...valid.config, mediaType: "application/vnd.docker.container.image.v1+json" },
      layers: [{ ...validLayer, mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip" }],
    };
    assert.equal(parseManifest(bytesOf(docker)).kind, "image");
    const { mediaType: _, ...untyped } = valid;
    assert.deepEqual(parseManifest(bytesOf(untyped)), parseManifest(image.manifest.bytes));
  });

  for (const [what, document, words] of [
    ["of schema 1", { schemaVersion: 1, fsLayers: [] }, /old format schema 1/],
    ["of two kinds", { ...valid, manifests: [] }, /both layers and manifests/],
    ["of an unknown type", { ...valid, mediaType: "text/html" }, /"text\/html", which is not supp/],
    [
      "of no container",
      { ...valid, config: { ...valid.config, mediaType: "helm" } },
      /type "helm"/,
    ],
    ["without layers", { ...valid, layers: [] }, /it has no layers/],
    ["with 128 layers", { ...valid, layers: Array(128).fill(validLayer) }, /128 layers, more than/],
    [
      "with a negative size",
      { ...valid, layers: [{ ...validLayer, size: -1 }] },
      /layers\[0\]\.size must be an integer that is not negative, but is -1/,
    ],
    [
      "with an encrypted layer",
      { ...valid, layers: [{ ...validLayer, mediaType: `${layerType}+encrypted` }] },
      /layers\[0\] has the type ".*encrypted", which is not supported/,
    ],
    [
      "with another hash",
      { ...valid, config: { ...valid.config, digest: "md5:1" } },
      /config\.digest: invalid digest "md5:1"/,
    ],
    ["that is a list", [], /the manifest must be an object, but is \[\]/],
  ] as const) {
    test(`${what}, is refused with the reason`, () => {
      assert.throws(() => parseManifest(bytesOf(document)), {
        code: "failed-precondition",
        message: words,
      });
    });
  }

  test("of any bytes or any changed part, is refused by a Fault or parsed", () => {
    const parses = (bytes: Uint8Array) => {
      try {
        parseManifest(bytes);
      } catch (error) {
        assert.ok(error instanceof Fault && error.code === "failed-precondition", String(error));
      }
    };
    fc.assert(fc.property(fc.uint8Array(), parses));
    fc.assert(fc.property(fc.json(), (json) => parses(Buffer.from(json))));
    const key = fc.constantFrom("schemaVersion", "mediaType", "config", "layers", "manifests");
    fc.assert(
      fc.property(key, fc.jsonValue(), (name, value) =>
        parses(bytesOf({ ...valid, [name]: value })),
      ),
    );
  });
});

describe("the choice of a platform", () => {
  const manifest = (architecture: string, variant?: string) => ({
    mediaType: manifestType,
    digest: blobOf({ architecture, variant }).digest,
    sizeBytes: 1,
    platform: { os: "linux", architecture, ...(variant === undefined ? {} : { variant }) },
  });
  const all = [
    manifest("arm", "v5"),
    manifest("arm", "v7"),
    manifest("arm64", "v8"),
    manifest("amd64", "v3"),
    manifest("amd64"),
    manifest("s390x", "z"),
    manifest("386"),
  ];
  for (const [wanted, found] of [
    [{ architecture: "amd64" }, 4],
    [{ architecture: "amd64", variant: "v2" }, 4],
    [{ architecture: "amd64", variant: "v3" }, 3],
    [{ architecture: "amd64", variant: "v4" }, 3],
    [{ architecture: "x86_64" }, 4],
    [{ architecture: "386" }, 6],
    [{ architecture: "arm64" }, 2],
    [{ architecture: "arm64", variant: "v8" }, 2],
    [{ architecture: "arm64", variant: "v9" }, 2],
    [{ architecture: "arm" }, 1],
    [{ architecture: "arm", variant: "v8" }, 1],
    [{ architecture: "arm", variant: "v7" }, 1],
    [{ architecture: "arm", variant: "v6" }, 0],
    [{ architecture: "arm", variant: "v5" }, 0],
    [{ architecture: "s390x" }, 5],
  ] as const) {
    test(`for ${Object.values(wanted).join("/")}, is the best that runs there`, () => {
      assert.equal(selectPlatform(all, { os: "linux", ...wanted }), all[found]);
    });
  }

  test("may be what runs there, too", () => {
    const old = [manifest("386"), manifest("arm", "v6")];
    assert.equal(selectPlatform(old, { os: "linux", architecture: "amd64" }), old[0]);
    assert.equal(selectPlatform(old, { os: "linux", architecture: "arm64" }), old[1]);
  });

  test("is never what needs a newer processor", () => {
    const newer = [manifest("amd64", "v3"), manifest("arm", "v7")];
    for (const wanted of [{ architecture: "amd64" }, { architecture: "arm", variant: "v6" }]) {
      assert.throws(() => selectPlatform(newer, { os: "linux", ...wanted }), { code: "not-found" });
    }
  });

  test("is the only image of an index that names none", () => {
    const { platform: _, ...only } = manifest("amd64");
    assert.equal(selectPlatform([only], { os: "linux", architecture: "arm64" }), only);
  });

  test("without a match, says what there is", () => {
    const attestation = {
      ...manifest("unknown"),
      platform: { os: "unknown", architecture: "unknown" },
    };
    assert.throws(
      () =>
        selectPlatform([manifest("arm64", "v8"), attestation], {
          os: "linux",
          architecture: "amd64",
        }),
      { code: "not-found", message: "it is for linux/arm64/v8, not for linux/amd64" },
    );
  });
});
