import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { TarNames } from "./tar-names.ts";

const folder = mkdtempSync(join(tmpdir(), "swarmctl-tar-"));
after(() => rmSync(folder, { recursive: true }));
const long = `${"deep/".repeat(40)}${"n".repeat(150)}`;
mkdirSync(join(folder, "a", "deep/".repeat(40)), { recursive: true });
writeFileSync(join(folder, "a", long), "x".repeat(2_000));
writeFileSync(join(folder, "a/file"), "y".repeat(700));
symlinkSync("/etc/passwd", join(folder, "a/link"));

function tar(...args: readonly string[]): Buffer {
  const { stdout, stderr, status } = spawnSync("tar", ["-c", "-P", "-C", folder, ...args]);
  assert.equal(status, 0, stderr.toString());
  return stdout;
}

function check(archive: Buffer, pieceBytes = 65_536): void {
  const names = new TarNames();
  for (let offset = 0; offset < archive.length; offset += pieceBytes) {
    names.push(archive.subarray(offset, offset + pieceBytes));
  }
}

for (const format of ["gnu", "ustar"]) {
  test(`tar names, ${format}: what is inside passes, what leads out does not`, () => {
    const rename = (to: string) =>
      tar(`--format=${format}`, `--transform=s,^a/file,${to},`, "a/file", "a/link");
    const some = format === "ustar" ? ["a/file", "a/link"] : ["a"];
    check(tar(`--format=${format}`, ...some));
    check(tar(`--format=${format}`, ...some), 7);
    check(rename("./b..c/...d"));
    for (const name of ["../evil", "a/../../evil", "/evil", "a/.."]) {
      assert.throws(() => check(rename(name)), { code: "data-loss" }, name);
    }
    if (format === "ustar") return;
    for (const name of [`/${long}`, `../${long}`]) {
      assert.throws(() => check(rename(name)), { code: "data-loss" }, name);
    }
  });
}

test("tar names, devices and fifos are refused", () => {
  assert.throws(() => check(tar("/dev/null")), { code: "data-loss" });
  spawnSync("mkfifo", [join(folder, "fifo")]);
  assert.throws(() => check(tar("fifo")), /no file, folder or link/);
});

test("tar names, what could be read in two ways is refused", () => {
  const extended = tar("--format=pax", "a");
  assert.throws(() => check(extended), { code: "data-loss" });
  symlinkSync("file", join(folder, "a/short"));
  const archive = tar("--format=ustar", "a/short");
  check(archive);
  // Its size: a block, in which tar would look for the next header.
  for (const type of ["1", "2", "5"]) {
    archive.write("00000001000", 124);
    archive.write(type, 156);
    assert.throws(() => check(archive), /has data/);
  }
});

test("tar names, any bytes in any pieces are taken or refused", () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 1_500 }), { maxLength: 8 });
  fc.assert(
    fc.property(pieces, (some) => {
      const names = new TarNames();
      try {
        for (const piece of some) names.push(piece);
      } catch (thrown) {
        assert(thrown instanceof Fault && thrown.code === "data-loss");
      }
    }),
  );
});
