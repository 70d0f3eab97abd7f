import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { Template } from "./template.ts";

const web = {
  Name: "web",
  Replicas: "3/3",
  Count: 3,
  Big: 3n,
  Ports: ["80/tcp", "443/tcp"],
  Labels: new Map([
    ["role", "front"],
    ["app", "shop"],
  ]),
  Label: (key: unknown) => (key === "role" ? "front" : ""),
  Spec: { Image: "busybox:1", Init: null },
  Empty: "",
};

const made: readonly (readonly [template: string, text: string])[] = [
  // Checked against `docker context ls --format` where it could be.
  ["{{.Name}}\t{{.Replicas}}", "web\t3/3"],
  ["{{ .Name | upper }}: {{lower .Name | title}}", "WEB: Web"],
  ['{{title "a b-c dé x\'y q_z"}}', "A B-C Dé X'Y Q_z"],
  ["{{.Spec.Image}} {{.Spec.Init}} {{.Spec.Init.Deeper}}", "busybox:1 <no value> <no value>"],
  [
    "{{.Ports}} {{.Labels}} {{.Labels.role}} {{.Labels.none}}",
    "[80/tcp 443/tcp] map[app:shop role:front] front <no value>",
  ],
  ['{{.Label "role"}}', "front"],
  ['{{index .Labels "app"}}{{index .Ports 1}}', "shop443/tcp"],
  ['{{join .Ports ", "}} {{join (split .Name "") "-"}}', "80/tcp, 443/tcp w-e-b"],
  [
    "{{json .Ports}} {{json .Labels}} {{.Name | json}}",
    '["80/tcp","443/tcp"] {"app":"shop","role":"front"} "web"',
  ],
  ["{{json .Big}}{{json .Spec}}", '3{"Image":"busybox:1","Init":null}'],
  ["{{len .Ports}}{{len .Name}}{{len .Labels}}", "232"],
  ["{{if .Empty}}a{{else if eq .Count 3}}b{{else}}c{{end}}", "b"],
  ["{{if and .Name (gt .Count 2)}}yes{{end}}{{if not .Empty}}!{{end}}", "yes!"],
  ["{{if or .Empty .None2}}a{{else}}b{{end}}".replace(".None2", "false"), "b"],
  ["{{if and .Empty (index .Ports 9)}}{{else}}not looked at{{end}}", "not looked at"],
  ["{{range .Ports}}[{{.}}]{{end}}", "[80/tcp][443/tcp]"],
  ["{{range $i, $p := .Ports}}{{$i}}={{$p}} {{$.Name}};{{end}}", "0=80/tcp web;1=443/tcp web;"],
  ["{{range $k, $v := .Labels}}{{$k}}:{{$v}},{{end}}", "app:shop,role:front,"],
  ["{{range .Empty2}}x{{else}}none{{end}}".replace(".Empty2", "nil"), "none"],
  ['{{range .Ports}}{{if eq . "443/tcp"}}{{break}}{{end}}{{.}}{{end}}', "80/tcp"],
  ['{{range .Ports}}{{if eq . "80/tcp"}}{{continue}}{{end}}{{.}}{{end}}', "443/tcp"],
  ["{{with .Spec}}{{.Image}}{{end}}{{with .Empty}}x{{else}}y{{end}}", "busybox:1y"],
  ['{{$n := .Name}}{{$n}}{{if true}}{{$n = "db"}}{{end}}{{$n}}', "webdb"],
  ["{{- /* of no account */ -}} a {{- .Name -}} b", "awebb"],
  ["{{println .Name .Count}}{{print 1 2 .Name 3 true}}", "web 3\n1 2web3 true"],
  ['{{printf "%-6s|%5d|%05.1f|%q|%%" .Name .Count 2.25 .Name}}', 'web   |    3|002.3|"web"|%'],
  ['{{printf "%.2s %v %t %x" .Name .Ports true "az"}}', "we [80/tcp 443/tcp] true 617a"],
  ["{{truncate .Name 2}}|{{pad .Name 1 2}}|{{slice .Name 1}}", "we| web  |eb"],
  ['{{"a\\tb"}}{{`c\\d`}}{{"\\u00e9\\x41"}}', "a\tbc\\déA"],
  [
    '{{eq .Name "a" "b" "web"}} {{ne .Count 3}} {{lt 1 2}} {{le 2 2}} {{ge 1 2}}',
    "true false true true false",
  ],
  ["{{(index .Ports 0) | len}} {{(.Spec).Image}}", "6 busybox:1"],
  ["{{range 3}}{{.}}{{end}}", "012"],
  ["no action at all", "no action at all"],
  ["{{.Name}} } }} {", "web } }} {"],
];

const refused: readonly (readonly [template: string, message: RegExp])[] = [
  ["{{.Name", /character 1 .*no \}\}/],
  ["a {{if .Name}}b", /character 3 .*\{\{if\}\} has no \{\{end\}\}/],
  ["{{end}}", /character 1 .*nothing open/],
  ["{{.Nme}}", /character 3 .*no field "\.Nme", did you mean \.Name\? There are Name, Replicas/],
  [
    "{{uper .Name}}",
    /character 3 .*no function "uper", did you mean upper\? There are and, eq, .*upper/,
  ],
  ["{{.Name | }}", /character 11 .*A value is missing/],
  ["{{$x}}", /character 3 .*no variable \$x/],
  ['{{"a}}', /character 3 .*string has no end/],
  ['{{"\\y"}}', /"\\y" is no escape/],
  ["{{index .Ports 7}}", /character 3 .*no element 7: the list has 2/],
  ["{{upper .Count}}", /a number stands where text is wanted/],
  ["{{upper}}", /"upper" takes 1 values, not 0/],
  ["{{.Name .Count}}", /text takes no arguments/],
  ["{{3 .Name}}", /A value takes no arguments/],
  ["{{.Name | 3}}", /A value takes nothing/],
  ["{{eq .Name 3}}", /text and a number do not compare/],
  ['{{define "x"}}{{end}}', /\{\{define\}\} is not supported/],
  ["{{break}}", /stands in no \{\{range\}\}/],
  ["{{if .Name}}{{else}}{{else}}{{end}}", /an \{\{else\}\} already/],
  ["{{(.Name}}", /This \( has no \)/],
  ["{{range .Name}}{{end}}", /goes over lists, maps and numbers, not over text/],
  ['{{printf "%d" .Name}}', /"%d" of printf takes no such value/],
  ["{{.Name ; .Name}}", /";" has no meaning here/],
  [`{{${"(".repeat(200)}.Name${")".repeat(200)}}}`, /levels are too many/],
];

describe("templates", () => {
  for (const [template, text] of made) {
    it(`make of ${JSON.stringify(template)}`, () =>
      assert.equal(new Template(template).run(web), text));
  }

  for (const [template, message] of refused) {
    it(`refuse ${JSON.stringify(template).slice(0, 60)}`, () => {
      assert.throws(() => new Template(template).run(web), { code: "invalid-argument", message });
    });
  }

  it("refuse whatever they do not understand, and nothing else is thrown", () => {
    const word = fc.constantFrom(
      ...'{{ }} {{- -}} .Name . $ $x := | ( ) if else end range with eq len index json "a" `b` 3 , /* */ break true nil'.split(
        " ",
      ),
    );
    const texts = fc.oneof(
      fc.array(fc.oneof(word, fc.constant(" ")), { maxLength: 30 }).map((words) => words.join("")),
      fc.string({ unit: "binary", maxLength: 40 }).map((text) => `{{${text}}}`),
    );
    fc.assert(
      fc.property(texts, (text) => {
        try {
          assert.equal(typeof new Template(text).run(web), "string");
        } catch (thrown) {
          if (!(thrown instanceof Fault)) throw thrown;
          const at = Number(/^At character (\d+)/.exec(thrown.message)?.[1]);
          assert.ok(at >= 1 && at <= text.length + 1, thrown.message);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it("print text as it stands, and literals as they were meant", () => {
    const plain = fc
      .string({ unit: "grapheme" })
      .filter((text) => !text.includes("{{") && !text.endsWith("{"));
    fc.assert(
      fc.property(plain, fc.string({ unit: "grapheme" }), plain, (before, value, after) => {
        const template = `${before}{{printf "%s" ${JSON.stringify(value)}}}${after}`;
        assert.equal(new Template(template).run({}), before + value + after);
      }),
    );
  });
});
