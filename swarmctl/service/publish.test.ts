import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { type PortConfig, PortProtocol, PublishMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { changedPorts, parsePublish, portsWord } from "./publish.ts";

const plain = ({ publishedPort, targetPort, protocol, publishMode, hostIp }: PortConfig) => {
  const words = [publishedPort, targetPort, Object.keys(PortProtocol)[protocol]].join(" ");
  return publishMode === PublishMode.HOST ? `${words} host ${hostIp}`.trimEnd() : words;
};

const read = (text: string) => parsePublish(text).map(plain);

describe("--publish", () => {
  for (const [text, ...ports] of [
    ["80", "0 80 TCP"],
    ["8080:80", "8080 80 TCP"],
    ["0:80", "0 80 TCP"],
    ["53:53/udp", "53 53 UDP"],
    ["9:9/SCTP", "9 9 SCTP"],
    ["8000-8002:80-82", "8000 80 TCP", "8001 81 TCP", "8002 82 TCP"],
    ["8000-8001:80", "8000 80 TCP", "8001 80 TCP"],
    ["80-81/udp", "0 80 UDP", "0 81 UDP"],
    ["127.0.0.1:8080:80", "8080 80 TCP host 127.0.0.1"],
    ["127.0.0.1::80", "0 80 TCP host 127.0.0.1"],
    ["[::1]:8080:80/udp", "8080 80 UDP host ::1"],
    ["target=80", "0 80 TCP"],
    ["published=8080,target=80,protocol=udp,mode=ingress", "8080 80 UDP"],
    ["src=8080,dst=80,mode=host", "8080 80 TCP host"],
    ["published=8080,target=80,mode=host,host_ip=::1", "8080 80 TCP host ::1"],
  ] as const) {
    it(`reads ${text}`, () => {
      assert.deepEqual(read(text), ports);
    });
  }

  for (const [text, message] of [
    ["", /"" is no published port: write \[IP:\]\[PUBLISHED:\]TARGET/],
    ["http", /"http" is no port: use a number from 1 to 65535/],
    ["8080:", /is no published port/],
    ["1:2:3:4", /is no published port/],
    ["[::1]:80", /is no published port/],
    ["::1:8080:80", /is no published port/],
    ["127.0.0.1:80", /"127\.0\.0\.1" is no port/],
    ["host:8080:80", /"host" is not an IP address of a host/],
    ["8080:80/icmp", /"icmp" is not a protocol: use one of tcp, udp, sctp/],
    ["8080:80/", /"" is not a protocol/],
    ["8080:0", /"0" is no port/],
    ["65536:80", /"65536" is no port/],
    ["90-80:1-11", /"90-80" is no port/],
    ["8000-8010:80-81", /publishes 11 ports for 2: give as many on both sides/],
    ["1-65535", /is 65535 ports: use at most 1000/],
    ["published=8080", /Say target=PORT/],
    ["target=80,mode=both", /"both" is not a mode: use one of ingress, host/],
    ["target=80,host_ip=127.0.0.1", /host_ip goes with mode=host/],
    ["target=80,host_ip=here,mode=host", /"here" is not an IP address/],
    ["target=80-90", /"80-90" is a range: write it in the short form/],
    ["target=80,dst=81", /"dst" is given twice/],
    ["target=80,name=a,port=8", /"port" is none of published, target/],
  ] as const) {
    it(`refuses ${text}`, () => {
      assert.throws(() => parsePublish(text), { name: "Fault", message });
    });
  }

  it("gives ports that hold, or a Fault, whatever the text", () => {
    const part = fc.oneof(fc.string({ maxLength: 6 }), fc.nat(70_000).map(String), fc.ipV4());
    const text = fc.oneof(
      fc.string(),
      fc
        .array(fc.oneof(part, fc.constantFrom(":", "-", "/", "[", "]", "=", ",", "target=")))
        .map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(text, (input) => {
        try {
          for (const port of parsePublish(input)) {
            assert.ok(port.targetPort >= 1 && port.targetPort <= 65_535);
            assert.ok(port.publishedPort >= 0 && port.publishedPort <= 65_535);
            assert.ok(port.hostIp === "" || port.publishMode === PublishMode.HOST);
          }
        } catch (thrown) {
          assert.ok(thrown instanceof Fault && thrown.code === "invalid-argument");
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it("reads what was written of any range", () => {
    const port = fc.integer({ min: 1, max: 65_000 });
    const range = fc.tuple(port, port, fc.nat(100), fc.constantFrom("tcp", "udp", "sctp"));
    fc.assert(
      fc.property(range, ([published, target, more, protocol]) => {
        const text = `${published}-${published + more}:${target}-${target + more}/${protocol}`;
        const ports = parsePublish(text);
        assert.equal(ports.length, more + 1);
        for (const [index, one] of ports.entries()) {
          assert.deepEqual(
            [one.publishedPort, one.targetPort],
            [published + index, target + index],
          );
        }
      }),
    );
  });
});

describe("--publish-add, --publish-rm", () => {
  const before = parsePublish("8080:80").concat(parsePublish("53:53/udp"), parsePublish("443"));
  const change = (add: string[], rm: string[] = []) =>
    changedPorts(before, {
      publishAdd: add.map(parsePublish),
      publishRm: rm.map(parsePublish),
    }).map(plain);

  it("add beside what there is, and in place of what has the same number", () => {
    assert.deepEqual(change(["8080:81", "53:53", "443"]), [
      "53 53 UDP",
      "8080 81 TCP",
      "53 53 TCP",
      "0 443 TCP",
    ]);
  });

  it("take out by target and protocol, or as they were published, and say what there is where that is not", () => {
    assert.deepEqual(change([], ["80", "53/udp"]), ["0 443 TCP"]);
    assert.throws(() => change([], ["8080"]), {
      message:
        "Cannot take out port 8080/tcp, which the service does not publish: name the target of one of its ports (it has *:0->443/tcp, *:8080->80/tcp, *:53->53/udp)",
    });
    assert.deepEqual(change([], ["8080:80", "target=53,protocol=udp"]), ["0 443 TCP"]);
    assert.throws(() => change([], ["8081:80"]), {
      message: /^Cannot take out port 8081:80\/tcp,/,
    });
  });
});

describe("ports in listings", () => {
  it("are as Docker's, neighbours as ranges", () => {
    const ports = ["8001-8003:81-83", "8000:80", "8000:80/udp", "8004:80"].flatMap(parsePublish);
    assert.equal(portsWord(ports), "*:8000-8003->80-83/tcp, *:8004->80/tcp, *:8000->80/udp");
    const own = ["127.0.0.1:90:80", "[::1]:90:80"].flatMap(parsePublish);
    assert.equal(portsWord(own), "127.0.0.1:90->80/tcp, [::1]:90->80/tcp");
  });
});
