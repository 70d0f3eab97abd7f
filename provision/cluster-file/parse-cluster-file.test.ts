import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import type { ClusterFile } from "./cluster-file.ts";
import { parseClusterFile } from "./parse-cluster-file.ts";

function parse(text: string): ClusterFile {
  return parseClusterFile(text, { file: "c.yml", folder: "/files", home: "/home/ann" });
}

const example = `cluster: prod
ssh: {user: root, port: 22, key: ~/.ssh/id_ed25519}
package: packages
hosts:
  - {address: 192.0.2.11, roles: [manager], labels: {zone: a, rack: 1.10}}
  - {address: 192.0.2.12, name: two, roles: [manager, worker], interface: eth1, ssh: {user: ann, sudo: true}}
  - {address: node-3.example, availability: pause}
options: {data-path-port: 4789, encrypted: true, default-address-pool: 10.0.0.0/8}
backup: {schedule: 0 3 * * *, folder: /backups, keep: 7}
`;

test("cluster file, what it leaves out is filled in, and paths begin where the file is", () => {
  const ssh = { user: "root", port: 22, key: "/home/ann/.ssh/id_ed25519" };
  assert.deepEqual(parse(example), {
    cluster: "prod",
    ssh,
    package: "/files/packages",
    hosts: [
      {
        address: "192.0.2.11",
        name: "192.0.2.11",
        isManager: true,
        runsTasks: false,
        labels: { zone: "a", rack: "1.10" },
        ssh,
      },
      {
        address: "192.0.2.12",
        name: "two",
        isManager: true,
        runsTasks: true,
        interface: "eth1",
        ssh: { ...ssh, user: "ann", sudo: true },
      },
      {
        address: "node-3.example",
        name: "node-3.example",
        isManager: false,
        runsTasks: true,
        availability: "pause",
        ssh,
      },
    ],
    options: { "data-path-port": 4789, encrypted: true, "default-address-pool": "10.0.0.0/8" },
    backup: { schedule: "0 3 * * *", folder: "/backups", keep: 7 },
    warnings: [
      "2 managers survive the loss of none, no more than 1 would: an odd number is better",
    ],
  });
});

const one = "hosts: [{address: a, roles: [manager]}]\n";
const refused: readonly [string, string][] = [
  ["", "c.yml: is empty"],
  ["[]", "c.yml:1:1: the file must be a map"],
  [one, "c.yml:1:1: the file has no cluster"],
  ["cluster: x\n", "c.yml:1:1: the file has no hosts"],
  [`cluster: x\n${one}hots: []\n`, "c.yml:3:1: hots is not known: did you mean hosts?"],
  [
    "cluster: x\nhosts:\n  - {address: a, role: [manager]}\n",
    "c.yml:3:18: hosts.0.role is not known: did you mean roles?",
  ],
  [
    `cluster: x\n${one}options: {data-path-prot: 1}\n`,
    "c.yml:3:11: options.data-path-prot is not known: did you mean data-path-port?",
  ],
  [
    `cluster: x\n${one}options: {cert-expiry: soon}\n`,
    'c.yml:3:11: options.cert-expiry is not right: invalid duration "soon": write a number with a unit, such as 500ms, 10s or 1m30s',
  ],
  [
    "cluster: x\nhosts:\n  - {address: 2001:db8::1, roles: [manager]}\n  - {address: 2001:DB8:0::1}\n",
    'c.yml:4:6: hosts.1.address is "2001:DB8:0::1", which is the address of hosts.0 already',
  ],
  [
    "cluster: x\nhosts:\n  - {address: a, name: n, roles: [manager]}\n  - {address: b, name: n}\n",
    'c.yml:4:18: hosts.1.name is "n", which is the name of hosts.0 already',
  ],
  [
    "cluster: x\nhosts: [{address: a}]\n",
    "c.yml:2:1: hosts has no manager: give one or three of them roles: [manager]",
  ],
  [
    "cluster: x\nhosts: [{address: root@a, roles: [manager]}]\n",
    "c.yml:2:10: hosts.0.address must be an IP address, or a name that ssh reaches, without user and port",
  ],
  [
    "cluster: x\nhosts: [{address: -oProxyCommand=x, roles: [manager]}]\n",
    "c.yml:2:10: hosts.0.address must be an IP address, or a name that ssh reaches, without user and port",
  ],
  [
    "cluster: x\nhosts: [{address: a, roles: [manager], availability: active}]\n",
    "c.yml:2:40: hosts.0.availability is active, and roles has no worker: add it, or leave out availability",
  ],
  [
    "cluster: x\nssh: {password: secret}\nhosts: [{address: a, roles: [manager]}]\n",
    "c.yml:2:7: ssh.password is not known",
  ],
];

for (const [text, message] of refused) {
  test(`cluster file, refused: ${message}`, () => {
    assert.throws(() => parse(text), { code: "invalid-argument", message });
  });
}

test("cluster file, more managers than are of use are warned of", () => {
  const hosts = Array.from(
    { length: 9 },
    (_, index) => `  - {address: h${index}, roles: [manager]}`,
  );
  const { warnings } = parse(`cluster: x\nhosts:\n${hosts.join("\n")}\n`);
  assert.match(warnings[0] ?? "", /^9 managers make every write slower/);
});

test("cluster file, of whatever text either a cluster or a Fault", () => {
  const piece = fc.constantFrom(
    "cluster: x",
    "hosts:",
    "  - {address: a, roles: [manager]}",
    "  - address: b",
    "    labels: {a: 1}",
    "ssh: {port: 0}",
    "options:",
    "  encrypted: true",
    "  log-opt: {__proto__: 1}",
    "backup: ~",
    "? [a]: b",
    "&a [*a]",
    "<<: *b",
    "name: !!binary x",
    "\t",
    "    roles: []",
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 12 }).map((lines) => lines.join("\n")),
  );
  fc.assert(
    fc.property(text, (given) => {
      try {
        assert(parse(given).hosts.length > 0);
      } catch (thrown) {
        assert(thrown instanceof Fault, String(thrown));
        assert.match(thrown.message, /^c\.yml/);
      }
    }),
    { numRuns: 500 },
  );
});

test("cluster file, what is written comes back", () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,9}[a-z0-9]$/);
  const value = fc.stringMatching(/^[ -~]{1,20}$/);
  const hosts = fc.uniqueArray(
    fc.record(
      {
        address: fc.oneof(fc.ipV4(), word),
        labels: fc.dictionary(word, value, { maxKeys: 3, noNullPrototype: true }),
        interface: word,
      },
      { requiredKeys: ["address"] },
    ),
    { minLength: 1, maxLength: 9, selector: ({ address }) => address },
  );
  fc.assert(
    fc.property(hosts, (given) => {
      // JSON is YAML.
      const all = given.map((host, index) =>
        index === 0 ? { ...host, roles: ["manager"] } : host,
      );
      const parsed = parse(JSON.stringify({ cluster: "x", hosts: all }));
      const back = parsed.hosts.map(({ address, labels, interface: name }) => ({
        address,
        ...(labels !== undefined && { labels }),
        ...(name !== undefined && { interface: name }),
      }));
      assert.deepEqual(
        back,
        given.map((host) => ({ ...host })),
      );
    }),
  );
});
