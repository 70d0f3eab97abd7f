/** Rules of the house that no linter knows. Each names its reason in the message. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { test } from "node:test";

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  encoding: "utf8",
})
  .trim()
  .split("\n");
const sources = files.filter((file) => file.endsWith(".ts"));

function read(file: string): string {
  return readFileSync(file, "utf8");
}

/** Lines of `files` that match, as "file:line: text". */
function matches(paths: readonly string[], pattern: RegExp): string[] {
  return paths.flatMap((file) =>
    read(file)
      .split("\n")
      .flatMap((line, index) =>
        pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [],
      ),
  );
}

test("file names are kebab-case and say what is inside", () => {
  const vague = /^(utils?|helpers?|common|misc|types)\.ts$/;
  const names = sources.map((file) => basename(file));
  assert.deepEqual(
    names.filter(
      (name) => vague.test(name) || !/^[a-z0-9]+(-[a-z0-9]+)*((\.slow)?\.test)?\.ts$/.test(name),
    ),
    [],
  );
});

test("every source file is imported, run, or a test", () => {
  const text = new Map(
    files.filter((f) => /\.(ts|json|sh|md)$|^setup\/|^\.ci\//.test(f)).map((f) => [f, read(f)]),
  );
  const entry = /(^|\/)main\.ts$|\.test\.ts$/;
  const unused = sources.filter((file) => {
    if (entry.test(file)) return false;
    const name = basename(file);
    return ![...text].some(([other, content]) => other !== file && content.includes(name));
  });
  assert.deepEqual(unused, [], "delete the file, or use it");
});

test("imports across top folders go by #name, where lint sees them", () => {
  const across =
    /from "(\.\.\/)+(proto|registry|manager|agent|swarmd|swarmctl|stacks|provision|bundle|package|lab|bench|sim|test)\//;
  assert.deepEqual(matches(sources, across), []);
});

/** Classes of grpc-js and commander that are made to be inherited from: they take nothing else. */
const inheritable = "Error|ChannelCredentials|Command";

test("no classes inherit but errors: a function over data is easier to follow", () => {
  const inherits = `^\\s*(export )?(abstract )?class \\w+(<[^{]*>)? extends (?!(${inheritable})\\b)`;
  assert.deepEqual(matches(sources, new RegExp(inherits)), []);
});

test("no private keyword and no enum: #names are private at run time too, unions are erasable", () => {
  assert.deepEqual(
    matches(sources, /^\s*private (readonly |static |async )?\w+|^\s*(export )?(const )?enum \w/),
    [],
  );
});

test("nothing is left for later without a trace", () => {
  const others = sources.filter((file) => !file.endsWith("tidy.test.ts"));
  assert.deepEqual(matches(others, /\b(TODO|FIXME|XXX|HACK)\b/), []);
});

test("tests are neither switched off nor alone", () => {
  const tests = sources.filter(
    (file) => file.endsWith(".test.ts") && !file.endsWith("tidy.test.ts"),
  );
  assert.deepEqual(matches(tests, /\.(skip|todo|only)\(|\b(skip|todo|only): true/), []);
});

test("checks are not silenced without a reason beside it", () => {
  const silenced = matches(
    sources,
    /@ts-(ignore|nocheck|expect-error)|oxlint-disable|eslint-disable/,
  ).filter((line) => !line.includes(" -- ") && !line.includes("tidy.test.ts"));
  assert.deepEqual(silenced, []);
});

test("each parser of foreign bytes has a fuzz test", () => {
  const parsers = sources.filter(
    (file) =>
      !file.endsWith(".test.ts") &&
      /export function parse[A-Z]\w*\([^)]*: (unknown|Uint8Array|Buffer)/.test(read(file)),
  );
  const fuzzed = sources.filter(
    (file) => file.endsWith(".test.ts") && /fast-check/.test(read(file)),
  );
  const unfuzzed = parsers.filter((file) => !fuzzed.some((t) => dirname(t) === dirname(file)));
  assert.deepEqual(unfuzzed, []);
});
