import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  EndpointAffinity,
  EndpointMode,
  EndpointSpecSchema,
  type NetworkAttachmentConfig,
  NetworkAttachmentConfigSchema,
  type PortConfigSchema,
  PortProtocol,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { openTestStore, testNetwork, testNode, testService } from "../testing/fixtures.ts";
import { checkEndpoint } from "./validate-ports.ts";

type EndpointInit = Omit<MessageInitShape<typeof EndpointSpecSchema>, "$typeName" | "$unknown">;
type PortInit = Omit<MessageInitShape<typeof PortConfigSchema>, "$typeName" | "$unknown">;

const { store, put } = openTestStore();
const ingress = testNetwork("ingress", "10.0.0.0/20");
if (ingress.spec !== undefined) ingress.spec.ingress = true;
await put("network", ingress, testNetwork("net", "10.1.0.0/24"));
const { spec, ...rest } = testService({ name: "other" });
assert.ok(spec);
await put("service", {
  ...rest,
  spec: {
    ...spec,
    endpoint: create(EndpointSpecSchema, {
      ports: [
        { targetPort: 80, publishedPort: 8080 },
        { targetPort: 81, publishedPort: 8081, publishMode: PublishMode.HOST },
      ],
    }),
  },
});

await put("node", testNode(1, { managerStatus: { address: "192.0.2.1:2377" } }));

const on = (...targets: string[]): NetworkAttachmentConfig[] =>
  targets.map((target) => create(NetworkAttachmentConfigSchema, { target }));

function check(init: EndpointInit, networks = on("net"), serviceId = ""): void {
  checkEndpoint(create(EndpointSpecSchema, init), { networks, serviceId, view: store });
}

const port = (init: PortInit): PortInit => ({ targetPort: 80, ...init });
const host = { publishMode: PublishMode.HOST };

test("endpoint, what the product does is accepted", () => {
  const dns = { targetPort: 53, publishedPort: 53 };
  check({ ports: [port({}), port({}), dns, { ...dns, protocol: PortProtocol.UDP }] });
  check({ ports: [port({ publishedPort: 9, protocol: PortProtocol.SCTP })] }, []);
  check({ affinity: EndpointAffinity.CLIENT_IP, ports: [port({ publishedPort: 8082 })] });
  check({ mode: EndpointMode.DNSRR, ports: [port({ publishedPort: 1, ...host })] });
  const addresses = ["127.0.0.1", "127.0.0.2", "::"].map((hostIp) =>
    port({ publishedPort: 90, hostIp, ...host }),
  );
  check({ ports: addresses }, on("bridge"));
  check({ ports: [port({ publishedPort: 8080 })] }, on("net"), rest.id);
  // In host mode two services may have one port, on different nodes.
  check({ ports: [port({ publishedPort: 8081, ...host })] });
});

/** Numbers of the wire are open. */
const noSuch = 9 as never;

const refused: readonly (readonly [EndpointInit, RegExp])[] = [
  [{ ports: [{ targetPort: 0 }] }, /ports\[0\]\.target_port is 0: use 1 to 65535/],
  [{ ports: [port({ publishedPort: 65_536 })] }, /published_port is 65536: use 1 to 65535/],
  [{ ports: [port({ protocol: noSuch })] }, /protocol is 9, which has no meaning/],
  [
    { ports: [port({ publishedPort: 7 }), port({ publishedPort: 7 })] },
    /ports\[1\] publishes port 7\/tcp a second time/,
  ],
  [
    {
      ports: [
        port({ publishedPort: 7, hostIp: "::1", ...host }),
        port({ publishedPort: 7, ...host }),
      ],
    },
    /a second time/,
  ],
  [
    { ports: [port({ hostIp: "127.0.0.1" })] },
    /host_ip is 127\.0\.0\.1, but a port of mode ingress/,
  ],
  [{ ports: [port({ hostIp: "here", ...host })] }, /host_ip "here" is not an IP address/],
  [{ mode: EndpointMode.DNSRR, ports: [port({})] }, /mode is dnsrr, which has no virtual address/],
  [
    { ports: ["::1", "0:0::1"].map((hostIp) => port({ publishedPort: 7, hostIp, ...host })) },
    /a second time/,
  ],
  [
    { ports: ["10.0.0.1", "0.0.0.0"].map((hostIp) => port({ publishedPort: 7, hostIp, ...host })) },
    /a second time/,
  ],
  [{ ports: [port({ publishedPort: 2377 })] }, /port 2377\/tcp, which is where managers listen/],
  [
    { ports: [port({ publishedPort: 4789, protocol: PortProtocol.UDP, ...host })] },
    /port 4789\/udp, which carries the traffic between containers: choose another/,
  ],
  [{ ports: [port({ name: "a\u001b[2Jb" })] }, /ports\[0\]\.name .*is not a DNS label/],
  [{ ports: Array.from({ length: 2_001 }, () => port({})) }, /ports are 2001: use at most 2000/],
  [{ mode: noSuch }, /mode is 9/],
  [{ affinity: noSuch }, /affinity is 9/],
];
for (const [given, message] of refused) {
  test(`endpoint, refused: ${message.source}`, () => {
    assert.throws(() => check(given), {
      code: "invalid-argument",
      message,
    });
  });
}

test("endpoint, a task of the host's network or of none publishes nothing", () => {
  const ports = [port({ publishedPort: 7, ...host })];
  assert.throws(() => check({ ports }, on("host")), { message: /the host's own already/ });
  assert.throws(() => check({ ports }, on("none")), { message: /"none" leads nowhere/ });
});

test("endpoint, another service's port is refused, of mode host too where the other's is on every node", () => {
  const taken = (publishedPort: number, init: PortInit = {}) =>
    assert.throws(() => check({ ports: [port({ publishedPort, ...init })] }), {
      code: "failed-precondition",
      message: `port ${publishedPort}/tcp is already published by service "other": choose another, or take it from that service first`,
    });
  taken(8080);
  taken(8080, host);
  taken(8081);
});
