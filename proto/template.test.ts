import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import {
  evaluateTemplate,
  isTemplate,
  parseTemplate,
  templateMistakeAt,
  type TemplateValues,
} from "./template.ts";

const values: TemplateValues = {
  service: { id: "s1", name: "web", labels: { stage: "test", "a.b": "dotted" } },
  node: { id: "n1", hostname: "h1", os: "linux", architecture: "amd64" },
  task: { id: "t1", name: "web.3.t1", slot: "3" },
};
const calls = {
  secret: (name: string) => `<secret ${name}>`,
  config: (name: string) => `<config ${name}>`,
  env: (name: string) => `<env ${name}>`,
};

const meanings: readonly (readonly [string, string])[] = [
  ["plain } } text", "plain } } text"],
  ["{{.Service.ID}}-{{ .Service.Name }}", "s1-web"],
  ["{{.Node.ID}}/{{.Node.Hostname}}", "n1/h1"],
  ["{{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}", "linux/amd64"],
  ["{{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}", "t1 web.3.t1 3"],
  ["{{.Service.Labels.stage}}", "test"],
  ['{{index .Service.Labels "a.b"}}', "dotted"],
  ['{{.Service.Labels "a.b"}}', "dotted"],
  ['[{{index .Service.Labels "none"}}]', "[]"],
  ['{{"{{"}}x{{`}}`}}', "{{x}}"],
  ['{{"tab\\tquote\\""}}', 'tab\tquote"'],
  ["a {{- /* said {{ nobody }} */ -}} b", "ab"],
  ["a \n{{- .Task.Slot -}}\n b", "a3b"],
  ["a {{.Task.Slot }} b", "a 3 b"],
];
for (const [text, expected] of meanings) {
  test(`template, ${JSON.stringify(text)} is ${JSON.stringify(expected)}`, () => {
    assert.equal(evaluateTemplate(parseTemplate(text, "spec"), values), expected);
  });
}

test("template, files call secrets, configs and the environment", () => {
  const text = 'p={{secret "db"}} c={{ config `x.conf` }} h={{env "HOME"}}';
  const said = evaluateTemplate(parseTemplate(text, "file"), values, calls);
  assert.equal(said, "p=<secret db> c=<config x.conf> h=<env HOME>");
  assert.throws(() => parseTemplate(text, "spec"), /at character 3 calls "secret", which only/);
});

const refusals: readonly (readonly [string, RegExp])[] = [
  ["a {{.Task.Slot", /at character 3 has no end/],
  [
    "{{.Task.Slots}}",
    /at character 1 says \{\{\.Task\.Slots\}\}, which has no meaning: use \.Serv/,
  ],
  ["x{{if .Task.ID}}", /at character 2 says \{\{if \.Task\.ID\}\}, which has no meaning/],
  ["{{.Task.Slot | print}}", /has no meaning/],
  ["{{}}", /says \{\{\}\}, which has no meaning/],
  ['{{"\\q"}}', /an escape that has no meaning/],
  ["{{.constructor}}", /has no meaning/],
  ["{{toString}}", /has no meaning/],
];
for (const [text, message] of refusals) {
  test(`template, refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseTemplate(text, "spec"), message);
  });
}

test("template, a label that the service lacks is named", () => {
  const template = parseTemplate("{{.Service.Labels.color}}", "spec");
  assert.throws(() => evaluateTemplate(template, values), /service "web" has no label "color"/);
});

test("template, where a mistake is can be told without showing it", () => {
  assert.equal(templateMistakeAt("s3cr3t {{s3cr3t}}", "file"), "at character 8");
  assert.equal(templateMistakeAt("fine {{.Task.ID}}", "file"), undefined);
});

test("template, any text is refused by a Fault, or evaluated; without an action it stays as it is", () => {
  const piece = fc.constantFrom("{{", "}}", "{", "}", '"', "`", "\\", "-", " ", "/*", "*/", "\n");
  const word = fc.constantFrom(".Task.ID", ".Service.Labels", "index", "env", "x", "é", '"x"');
  const text = fc.array(fc.oneof(piece, word, fc.string({ maxLength: 3 }))).map((p) => p.join(""));
  fc.assert(
    fc.property(text, (source) => {
      let said: string;
      try {
        said = evaluateTemplate(parseTemplate(source, "file"), values, calls);
      } catch (thrown) {
        assert.ok(thrown instanceof Fault);
        assert.ok(isTemplate(source));
        return;
      }
      if (!isTemplate(source)) assert.equal(said, source);
    }),
    { numRuns: 2_000 },
  );
});

test("template, a long text costs no more than its length", () => {
  const long = `${"{{.Task.Slot}}a ".repeat(20_000)}{{"${"x".repeat(50_000)}`;
  assert.throws(() => parseTemplate(long, "file"), /has no end/);
});
