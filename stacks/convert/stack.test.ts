import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec, ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  EndpointMode,
  PortProtocol,
  PublishMode,
  RestartCondition,
  UpdateFailureAction,
  UpdateOrder,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration } from "#proto/time.ts";
import { stackFrom } from "../testing/stack-from.ts";
import { imageLabel, namespaceLabel, type Stack } from "../stack.ts";

function parse(text: string): Stack {
  return stackFrom({ name: "shop", file: "shop.yml", text });
}

/** The stack's service `x`, described by these lines below its image. */
function parseX(...lines: string[]): ServiceSpec {
  return serviceOf(parse(fileOfX(...lines)), "shop_x");
}

function fileOfX(...lines: string[]): string {
  return ["services:", "  x:", "    image: a", ...lines.map((line) => `    ${line}`)].join("\n");
}

function serviceOf(stack: Stack, name: string): ServiceSpec {
  const service = stack.services.find((spec) => spec.annotations?.name === name);
  assert(service !== undefined);
  return service;
}

function containerOf(spec: ServiceSpec): ContainerSpec {
  assert(spec.task?.runtime.case === "container");
  return spec.task.runtime.value;
}

function refusal(text: string): string {
  try {
    parse(text);
  } catch (thrown) {
    assert(thrown instanceof Fault, String(thrown));
    return thrown.message;
  }
  assert.fail("nothing was refused");
}

describe("a stack file", () => {
  it("says where logs go", () => {
    const spec = parseX("logging:", "  driver: json-file", "  options: { max-file: 3 }");
    assert.equal(spec.task?.logDriver?.name, "json-file");
    assert.deepEqual(spec.task.logDriver.options, { "max-file": "3" });
    assert.match(
      refusal(fileOfX("logging: { driver: gelf }")),
      /services.x.logging is refused: there is no log driver "gelf"/,
    );
  });

  it("reads a health check, and turns off the image's", () => {
    const check = (...lines: string[]) =>
      containerOf(parseX("healthcheck:", ...lines.map((line) => `  ${line}`))).healthcheck;
    const health = check("test: curl -f localhost", "interval: 1m30s", "retries: 4");
    assert.deepEqual(health?.test, ["CMD-SHELL", "curl -f localhost"]);
    assert.deepEqual([msFromDuration(health.interval, 0), health.retries], [90_000, 4]);
    assert.deepEqual(check("test: [CMD, ping]")?.test, ["CMD", "ping"]);
    assert.deepEqual(check("disable: true")?.test, ["NONE"]);
    assert.equal(containerOf(parseX()).healthcheck, undefined);
    assert.match(
      refusal(fileOfX("healthcheck: { timeout: 5 }")),
      /services.x.healthcheck.timeout must be a duration such as 5s/,
    );
    assert.match(
      refusal(fileOfX("healthcheck: { interval: soon }")),
      /healthcheck.interval is refused/,
    );
  });

  it("becomes services and networks named after the stack", async () => {
    const text = await readFile(new URL("../hello.yml", import.meta.url), "utf8");
    const stack = stackFrom({ name: "hello", file: "stacks/hello.yml", text });
    assert.deepEqual(
      stack.services.map((spec) => spec.annotations?.name),
      ["hello_web", "hello_client"],
    );
    assert.deepEqual(
      stack.networks.map((spec) => spec.annotations?.name),
      ["hello_default"],
    );
    const web = serviceOf(stack, "hello_web");
    assert.deepEqual(web.annotations?.labels, {
      [namespaceLabel]: "hello",
      [imageLabel]: "registry:5000/debian:12",
    });
    assert.deepEqual(containerOf(web).labels, { [namespaceLabel]: "hello" });
    assert.deepEqual(containerOf(web).args, [
      "sh",
      "-c",
      "hostname > /var/www/html/index.html && exec nginx -g 'daemon off;'",
    ]);
    assert.deepEqual(web.mode, { case: "replicated", value: web.mode.value });
    assert.equal(web.mode.case === "replicated" && web.mode.value.replicas, 3n);
    assert.deepEqual(
      web.task?.networks.map(({ target, aliases }) => [target, aliases]),
      [["hello_default", ["web"]]],
    );
    assert.equal(web.task?.restart?.condition, RestartCondition.ANY);
    assert.equal(msFromDuration(web.task?.restart?.delay, -1), 0);
  });

  it("gives environment values as their author wrote them, sorted", () => {
    const spec = parseX(
      "environment:",
      "  MODE: 0440",
      "  B: yes",
      "  A: ''",
      "  V: 1.10",
      "  T: true",
    );
    assert.deepEqual(containerOf(spec).env, ["A=", "B=yes", "MODE=0440", "T=true", "V=1.10"]);
    assert.deepEqual(containerOf(parseX("environment: [B=2, A=x=y]")).env, ["A=x=y", "B=2"]);
  });

  it("reads words and lists for command and entrypoint", () => {
    const spec = parseX('command: [a, "b c"]', 'entrypoint: sh -c "x y"', "hostname: h");
    assert.deepEqual(containerOf(spec).args, ["a", "b c"]);
    assert.deepEqual(containerOf(spec).command, ["sh", "-c", "x y"]);
    assert.equal(containerOf(spec).hostname, "h");
  });

  it("reads a restart policy", () => {
    const lines = ["condition: on-failure", "delay: 1m30s", "max_attempts: 3", "window: 2m"];
    const spec = parseX("deploy:", "  restart_policy:", ...lines.map((line) => `    ${line}`));
    assert.equal(spec.task?.restart?.condition, RestartCondition.ON_FAILURE);
    assert.equal(msFromDuration(spec.task?.restart?.delay, -1), 90_000);
    assert.equal(spec.task?.restart?.maxAttempts, 3n);
    assert.equal(msFromDuration(spec.task?.restart?.window, -1), 120_000);
  });

  it("reads how updates and rollbacks go", () => {
    const spec = parseX(
      "deploy:",
      "  update_config: {parallelism: 2, delay: 10s, order: start-first, failure_action: rollback,",
      "    monitor: 1m, max_failure_ratio: 0.3, x-progress-deadline: 5m}",
      "  rollback_config: {parallelism: 0}",
    );
    const { update, rollback } = spec;
    assert.equal(update?.parallelism, 2n);
    assert.equal(update.order, UpdateOrder.START_FIRST);
    assert.equal(update.failureAction, UpdateFailureAction.ROLLBACK);
    assert.equal(update.maxFailureRatio, Math.fround(0.3));
    const durations = [update.delay, update.monitor, update.progressDeadline];
    assert.deepEqual(
      durations.map((duration) => msFromDuration(duration, -1)),
      [10_000, 60_000, 300_000],
    );
    assert.equal(rollback?.parallelism, 0n);
    assert.equal(parseX("deploy: {update_config: {delay: 1s}}").update?.parallelism, 1n);
    assert.equal(parseX().update, undefined);
  });

  it("makes the networks that are used, names external ones, keeps aliases", () => {
    const stack = parse(
      [
        fileOfX("networks:", "  front:", "    aliases: [www]", "  back:", "  out:"),
        "networks:",
        "  front: {internal: true, attachable: true, labels: [a=b]}",
        "  back: {name: the-back, ipam: {config: [{subnet: 10.9.0.0/24}]}}",
        "  out: {external: true}",
        "  unused:",
      ].join("\n"),
    );
    const [front, back] = stack.networks;
    assert.equal(stack.networks.length, 2);
    assert.equal(front?.annotations?.name, "shop_front");
    assert.deepEqual(front?.annotations?.labels, { a: "b", [namespaceLabel]: "shop" });
    assert.deepEqual([front?.internal, front?.attachable], [true, true]);
    assert.equal(back?.annotations?.name, "the-back");
    assert.equal(back?.ipam?.configs[0]?.subnet, "10.9.0.0/24");
    assert.deepEqual(stack.externalNetworks, ["out"]);
    const attachments = serviceOf(stack, "shop_x").task?.networks;
    assert.deepEqual(
      attachments?.map(({ target, aliases }) => [target, aliases]),
      [
        ["out", ["x"]],
        ["shop_front", ["www", "x"]],
        ["the-back", ["x"]],
      ],
    );
  });

  it("reads the addresses and options of a network as managers keep them", () => {
    const stack = parse(
      [
        fileOfX("networks:", "  n:", "    ipv4_address: 10.9.0.5", "    ipv6_address: [fd00::5]"),
        "networks:",
        "  n:",
        "    enable_ipv6: true",
        '    driver_opts: {encrypted: "", com.docker.network.driver.mtu: 1400}',
        "    ipam:",
        "      driver: default",
        "      config:",
        "        - {subnet: 10.9.0.0/16, gateway: 10.9.0.9, ip_range: 10.9.1.0/24, aux_addresses: {a: 10.9.0.7}}",
        "        - subnet: fd00::/64",
      ].join("\n"),
    );
    const [network] = stack.networks;
    assert.deepEqual([network?.ipv6Enabled, network?.encrypted], [true, true]);
    assert.deepEqual(network?.driverConfig?.options, {
      encrypted: "",
      "com.docker.network.driver.mtu": "1400",
    });
    const [four, six] = network?.ipam?.configs ?? [];
    assert.deepEqual(
      [four?.gateway, four?.range, four?.reserved, six?.subnet],
      ["10.9.0.9", "10.9.1.0/24", { a: "10.9.0.7" }, "fd00::/64"],
    );
    const [attachment] = serviceOf(stack, "shop_x").task?.networks ?? [];
    assert.deepEqual(attachment?.addresses, ["10.9.0.5", "fd00::5"]);
  });

  it("has a network of each host without names on it", () => {
    const text = `${fileOfX("networks: [h]")}\nnetworks: {h: {external: true, name: host}}`;
    const stack = parse(text);
    assert.deepEqual(stack.externalNetworks, ["host"]);
    const [attachment] = serviceOf(stack, "shop_x").task?.networks ?? [];
    assert.deepEqual([attachment?.target, attachment?.aliases], ["host", []]);
  });

  it("publishes ports in the short form and as maps", () => {
    const spec = parseX(
      "ports:",
      "  - 8080:80",
      "  - 443",
      '  - "5000-5001:50-51/udp"',
      "  - {target: 9, published: 99, protocol: sctp, name: nine}",
      '  - {target: 9, published: "98", mode: host, host_ip: 127.0.0.1}',
      "deploy: {endpoint_mode: vip}",
    );
    const ports = (spec.endpoint?.ports ?? []).map((port) => [
      port.publishedPort,
      port.targetPort,
      port.protocol,
      port.publishMode,
      port.hostIp,
    ]);
    assert.deepEqual(ports, [
      [8080, 80, PortProtocol.TCP, PublishMode.INGRESS, ""],
      [0, 443, PortProtocol.TCP, PublishMode.INGRESS, ""],
      [5000, 50, PortProtocol.UDP, PublishMode.INGRESS, ""],
      [5001, 51, PortProtocol.UDP, PublishMode.INGRESS, ""],
      [99, 9, PortProtocol.SCTP, PublishMode.INGRESS, ""],
      [98, 9, PortProtocol.TCP, PublishMode.HOST, "127.0.0.1"],
    ]);
    const dnsrr = parseX("deploy: {endpoint_mode: dnsrr}");
    assert.equal(dnsrr.endpoint?.mode, EndpointMode.DNSRR);
    assert.equal(parseX("hostname: h").endpoint, undefined);
  });

  it("may be extended with x- keys and merges, and may name its version", () => {
    const text = [
      'version: "3.8"',
      "x-shell: anything, even $HOME",
      "x-common: &common",
      "  image: a",
      "  environment: {A: 1}",
      "services:",
      "  x:",
      "    <<: *common",
      "    x-note: anything",
    ].join("\n");
    assert.equal(containerOf(serviceOf(parse(text), "shop_x")).image, "a");
  });

  it("turns $$ into a dollar sign", () => {
    assert.deepEqual(containerOf(parseX("command: [echo, $$HOME, a$$]")).args, [
      "echo",
      "$HOME",
      "a$",
    ]);
  });
});

describe("a refused stack file", () => {
  const refused: [string, string, string][] = [
    [
      "a key of a service",
      fileOfX("blkio_config: {weight: 3}"),
      "shop.yml:4:5: services.x.blkio_config is not supported",
    ],
    [
      "a key that belongs one level further in",
      fileOfX("deploy:", "replicas: 3"),
      "shop.yml:5:5: services.x.replicas is not known: did you mean deploy.replicas?",
    ],
    [
      "a key of deploy",
      fileOfX("deploy:", "  resources:", "    reservations: {devices: [{capabilities: [gpu]}]}"),
      "shop.yml:6:24: services.x.deploy.resources.reservations.devices is not supported",
    ],
    [
      "a key of a restart policy",
      fileOfX("deploy:", "  restart_policy:", "    foo: 1"),
      "shop.yml:6:9: services.x.deploy.restart_policy.foo is not known",
    ],
    [
      "a key of a network",
      `${fileOfX("networks: [n]")}\nnetworks:\n  n:\n    enable_ipv4: false`,
      "shop.yml:7:5: networks.n.enable_ipv4 is false: every network has IPv4 addresses",
    ],
    [
      "a key of ipam",
      `${fileOfX()}\nnetworks:\n  n:\n    ipam:\n      config:\n        - subnet: 10.0.0.0/24\n          dns: 10.0.0.1`,
      "shop.yml:9:11: networks.n.ipam.config.0.dns is not known",
    ],
    [
      "a port that is none",
      fileOfX("ports:", "  - 8080:http"),
      'shop.yml:5:9: services.x.ports.0 is refused: "http" is no port: use a number from 1 to 65535, or a range such as 8000-8010',
    ],
    [
      "a port without a target",
      fileOfX("ports:", "  - published: 80"),
      "shop.yml:5:9: services.x.ports.0 has no target",
    ],
    [
      "a port's mode",
      fileOfX("ports:", "  - target: 80", "    mode: both"),
      "shop.yml:6:9: services.x.ports.0.mode must be ingress or host",
    ],
    [
      "an endpoint mode",
      fileOfX("deploy: {endpoint_mode: dns}"),
      "shop.yml:4:14: services.x.deploy.endpoint_mode must be vip or dnsrr",
    ],
    [
      "an option of a driver",
      `${fileOfX("networks: [n]")}\nnetworks:\n  n:\n    driver_opts: {encrypted: 7}`,
      'shop.yml:7:5: networks.n.driver_opts is refused: "encrypted" is "7": use true or false, or nothing',
    ],
    [
      "a key of an attachment",
      fileOfX("networks:", "  default:", "    mac_address: 02:42"),
      "shop.yml:6:9: services.x.networks.default.mac_address is not supported",
    ],
    [
      "the first of several problems",
      fileOfX("hostname: [1]", "ports: []", "command: 1"),
      "shop.yml:4:5: services.x.hostname must be a string",
    ],
    [
      "a missing image",
      "services:\n  x:\n    hostname: a",
      "shop.yml:2:3: services.x has no image",
    ],
    ["a list", "- a", "shop.yml:1:1: the file must be a map"],
    ["an empty service", "services:\n  x:", "shop.yml:2:3: services.x must be a map"],
    [
      "replicas below 0",
      fileOfX("deploy: {replicas: -1}"),
      "shop.yml:4:14: services.x.deploy.replicas must be a whole number of 0 or more",
    ],
    [
      "half a replica",
      fileOfX("deploy: {replicas: 1.5}"),
      "shop.yml:4:14: services.x.deploy.replicas must be a whole number of 0 or more",
    ],
    [
      "a condition that does not exist",
      fileOfX("deploy: {restart_policy: {condition: always}}"),
      "shop.yml:4:31: services.x.deploy.restart_policy.condition must be none, on-failure or any",
    ],
    [
      "a duration without unit",
      fileOfX('deploy: {restart_policy: {delay: "5"}}'),
      'shop.yml:4:38: services.x.deploy.restart_policy.delay is refused: invalid duration "5": write a number with a unit, such as 500ms, 10s or 1m30s',
    ],
    [
      "a rollback that rolls back",
      fileOfX("deploy: {rollback_config: {failure_action: rollback}}"),
      "shop.yml:4:32: services.x.deploy.rollback_config.failure_action must be pause or continue",
    ],
    [
      "a negative delay of updates",
      fileOfX("deploy: {update_config: {delay: -1s}}"),
      'shop.yml:4:30: services.x.deploy.update_config.delay is refused: "-1s" is negative',
    ],
    [
      "an undefined network",
      fileOfX("networks:", "  - default", "  - back"),
      'shop.yml:6:9: services.x.networks.back names the network "back", which the file does not define',
    ],
    [
      "an unfinished quote",
      fileOfX(`command: "sh -c 'a"`),
      `shop.yml:4:14: services.x.command is refused: "sh -c 'a" has a ' without its partner`,
    ],
    [
      "a service name with a dot",
      "services:\n  a.b: {image: x}",
      "shop.yml:2:3: services.a.b is not a name for a service: use letters, digits, - and _",
    ],
    [
      "another version",
      "version: '2.4'\nservices: {}",
      'shop.yml:1:1: version must be a version of the Compose file format 3, such as "3.8", or left out',
    ],
    [
      "a key named __proto__",
      fileOfX("__proto__: 1"),
      "shop.yml:4:5: services.x.__proto__ is not known",
    ],
  ];
  for (const [what, text, message] of refused) {
    it(`names the place of ${what}`, () => assert.equal(refusal(text), message));
  }

  it("refuses a stack name that is none", () => {
    for (const name of ["", "a b", "-a", "x".repeat(64), "a/b"]) {
      assert.throws(() => stackFrom({ name, file: "f", text: fileOfX() }), { name: "Fault" });
    }
  });

  it("throws nothing but Faults, whatever stands where a value is expected", () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom("services", "networks", "version"), (json, key) => {
        for (const text of [json, `{"services":{"x":{"image":"a"}},"networks":{"n":${json}}}`]) {
          onlyFaults(text);
        }
        onlyFaults(`{"services":{"x":${json}}}`);
        onlyFaults(`{"services":{"x":{"image":"a","${key}":${json},"environment":${json}}}}`);
      }),
      { numRuns: 300 },
    );
  });
});

function onlyFaults(text: string): void {
  try {
    parse(text);
  } catch (thrown) {
    assert(thrown instanceof Fault, String(thrown));
  }
}
