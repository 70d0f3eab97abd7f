/**
 * Where ours and Docker's differ, and are meant to: what the file's author plainly meant, or what the Compose
 * Specification says, instead of a quirk; and what Docker's loader does not know.
 */
import { type ComposeCase, caseOf, over, service } from "./compose-cases.ts";

interface Difference extends ComposeCase {
  /** What ours makes of service `web`, or what it says in refusing. */
  readonly web: Readonly<Record<string, unknown>> | RegExp;
}

export const differences: Readonly<Record<string, Difference>> = {
  "a variable without braces ends with its name": {
    ...service(["hostname: $TAG-alpine"]),
    web: { hostname: "1.27-alpine" },
  },
  "defaults hold variables": {
    ...service(["hostname: '${UNSET:-${TAG}}'"]),
    web: { hostname: "1.27" },
  },
  "what replaces a value that is set": {
    ...service(["hostname: 'a${TAG:+b}${EMPTY:+c}${EMPTY+d}'"]),
    web: { hostname: "abd" },
  },
  "numbers and booleans in quotes": {
    ...service(["tty: 'true'", "deploy: {replicas: '3'}"]),
    web: { tty: true, deploy: { replicas: 3 } },
  },
  "words of YAML 1.1 are words": {
    ...service(["environment: {A: yes, B: off, n: 1}", "tty: yes"]),
    web: { environment: { A: "yes", B: "off", n: "1" }, tty: true },
  },
  "numbers in the environment are as written": {
    ...service(["environment: {A: 0440, B: 1e6, C: 1.10, D: 2001-01-01}"]),
    web: { environment: { A: "0440", B: "1e6", C: "1.10", D: "2001-01-01" } },
  },
  "an empty value stays empty": {
    ...service(["environment: {FROM_SHELL: ''}"]),
    web: { environment: { FROM_SHELL: "" } },
  },
  "quotes in env files": {
    files: { ...service(["env_file: a.env"]).files, "a.env": "A='x y'\nexport B=\"${TAG}\" # c\n" },
    web: { environment: { A: "x y", B: "1.27" } },
  },
  "the mode of a file is octal": {
    ...service(["secrets: [{source: s, mode: '$MODE'}]"], "secrets: {s: {external: true}}"),
    web: { secrets: [{ source: "s", mode: "0440" }] },
  },
  "a volume of one letter": {
    ...service(["volumes: ['x:/y']"], "volumes: {x: }"),
    web: { volumes: [{ type: "volume", source: "x", target: "/y" }] },
  },
  "a published address": {
    ...service(["ports: ['127.0.0.1:80:80']"]),
    web: {
      ports: [{ mode: "host", target: 80, published: 80, protocol: "tcp", host_ip: "127.0.0.1" }],
    },
  },
  "two protocols of one port, merged": {
    ...over(["ports: ['53:53/tcp', '53:53/udp']"], ["hostname: h"]),
    web: {
      ports: [
        { mode: "ingress", target: 53, published: 53, protocol: "tcp" },
        { mode: "ingress", target: 53, published: 53, protocol: "udp" },
      ],
      hostname: "h",
    },
  },
  "a test is replaced": {
    ...over(["healthcheck: {test: a}"], ["healthcheck: {test: b}"]),
    web: { healthcheck: { test: ["CMD-SHELL", "b"] } },
  },
  "false and empty values override": {
    ...over(["tty: true", "environment: {A: 1}"], ["tty: false", "environment: {A: ''}"]),
    web: { tty: false, environment: { A: "" } },
  },
  "!reset and !override": {
    ...over(
      ["dns: [1.1.1.1]", "hostname: h"],
      ["dns: !override [2.2.2.2]", "hostname: !reset null"],
    ),
    web: { dns: ["2.2.2.2"] },
  },
  extends: {
    ...service(["extends: base", "labels: {a: b}"], "  base: {image: x, hostname: h}"),
    web: { hostname: "h", labels: { a: "b" } },
  },
  include: {
    files: {
      ...caseOf("include: [web.yml]", "services: {}").files,
      "web.yml": "services: {web: {image: nginx, volumes: [./a:/a]}}\n",
    },
    web: { volumes: [{ type: "bind", source: "/stacks/case/a", target: "/a" }] },
  },
  "conditions of dependencies": {
    ...service(["depends_on: {db: {condition: service_healthy}}"], "  db: {image: a}"),
    web: { depends_on: { db: { condition: "service_healthy" } } },
  },
  "limits of the Compose Specification": {
    ...service(["mem_limit: 64m", "cpus: 0.5", "pids_limit: 9"]),
    web: { mem_limit: "67108864", cpus: "0.5", pids_limit: 9 },
  },
  ".env": {
    files: { ...service(["hostname: '$ONLY_THERE'"]).files, ".env": "ONLY_THERE=yes\nTAG=2\n" },
    web: { hostname: "yes" },
  },
  "a mode of a mount that does not exist": {
    ...service(["volumes: ['/a:/b:rO']"]),
    web: /stack\.yml:4:15: services\.web\.volumes\.0 has the mode "rO", which has no meaning/,
  },
  "several documents": {
    ...caseOf("services: {a: {image: b}}", "---", "services: {c: {image: d}}"),
    web: /stack\.yml: holds 2 YAML documents instead of one/,
  },
  // The older CLI takes the last one; newer ones refuse it.
  "a key that is there twice": {
    ...service(["user: a", "user: b"]),
    web: /stack\.yml:5:5: the key "user" is there twice/,
  },
  "a tag that nobody knows": {
    ...service(["hostname: !word h"]),
    web: /stack\.yml:4:21: the tag !word is not known/,
  },
};
