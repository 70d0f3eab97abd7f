/**
 * What `docker stack config` and ours make of the same files is the same, but for differences without meaning, and for
 * those that are meant, each of which is named here.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { load } from "js-yaml";
import { Fault } from "#proto/fault.ts";
import { type LoadOptions, loadCompose } from "#stacks/compose/load-compose.ts";
import { printCompose } from "#stacks/compose/print-compose.ts";
import { applications } from "./applications.ts";
import { type ComposeCase, composeCases, environment } from "./compose-cases.ts";
import { differences } from "./differences.ts";
import { caseFolder, composeFiles, refused } from "./docker-config.ts";
import { refusals } from "./refusals.ts";
import { withoutNoise } from "./without-noise.ts";

const answers: unknown = JSON.parse(
  readFileSync(new URL("docker-answers.json", import.meta.url), "utf8"),
);

/** Ours, printed; what is printed is read again and must print the same. */
function ours(one: ComposeCase): string {
  const options: LoadOptions = {
    folder: caseFolder,
    environment,
    interpolate: one.raw !== true,
    readText: (path) => {
      const [, file] =
        Object.entries(one.files).find(([name]) => join(caseFolder, name) === path) ?? [];
      if (file !== undefined) return file;
      throw new Fault("not-found", `Cannot read "${path}": no such file`);
    },
  };
  const inputs = composeFiles(one).map((file) => ({ file, text: one.files[file] ?? "" }));
  const escape = one.raw !== true;
  const printed = printCompose(loadCompose(inputs, options).content, { escape });
  const again = loadCompose([{ file: "printed.yml", text: printed }], options);
  assert.equal(printCompose(again.content, { escape }), printed, "what is printed can be read");
  return printed;
}

const agreed = { ...composeCases, ...applications };

function dockers(name: string): string {
  assert(typeof answers === "object" && answers !== null);
  const answer: unknown = Object.getOwnPropertyDescriptor(answers, name)?.value;
  assert(typeof answer === "string");
  return answer;
}

function serviceWeb(printed: string): unknown {
  const file = load(printed);
  assert(typeof file === "object" && file !== null && "services" in file);
  const { services } = file;
  assert(typeof services === "object" && services !== null && "web" in services);
  return services.web;
}

describe("stack config, beside Docker's", () => {
  it("is asked about at least 60 files, and each has an answer", () => {
    assert(Object.keys(composeCases).length >= 60);
    assert(typeof answers === "object" && answers !== null);
    assert.deepEqual(
      Object.keys(answers).toSorted(),
      Object.keys({ ...agreed, ...differences, ...refusals }).toSorted(),
    );
  });

  for (const [name, one] of Object.entries(agreed)) {
    it(name, () => {
      const docker = dockers(name);
      assert(!docker.startsWith(refused), docker);
      assert.deepEqual(
        withoutNoise(load(ours(one)), { escaped: one.raw !== true }),
        withoutNoise(load(docker), { escaped: false }),
      );
    });
  }

  for (const [name, one] of Object.entries(refusals)) {
    it(`refuses ${name}`, () => {
      assert(dockers(name).startsWith(refused), "Docker refuses it, too");
      const last = composeFiles(one).at(-1);
      assert.throws(
        () => ours(one),
        (thrown) => {
          assert(thrown instanceof Fault);
          assert.equal(thrown.message.slice(0, `${last}:${one.at}`.length), `${last}:${one.at}`);
          return true;
        },
      );
    });
  }

  for (const [name, one] of Object.entries(differences)) {
    it(`differs: ${name}`, () => {
      const { web } = one;
      if (web instanceof RegExp) {
        assert.throws(() => ours(one), web);
        assert(!dockers(name).startsWith(refused));
        return;
      }
      const printed = ours(one);
      assert.deepEqual(serviceWeb(printed), { image: "nginx", ...web });
      const docker = dockers(name);
      if (docker.startsWith(refused)) return;
      const notation = { escaped: false };
      assert.notDeepEqual(
        withoutNoise(load(printed), notation),
        withoutNoise(load(docker), notation),
      );
    });
  }
});
