/** Services' maps in a real kernel: one namespace, whose own addresses are the backends and the clients. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { systemExec } from "#agent/exec.ts";
import { NetworkEndpointSchema, ServiceEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { EndpointAffinity, PortProtocol } from "#proto/gen/swarm/v1/types_pb.ts";
import { Namespace } from "../testing/namespace.ts";
import { publishedRules, serviceDeclarations, vipRules } from "./maps.ts";
import { emptyServices, type ServicePicture } from "./picture.ts";
import { planServices } from "./plan.ts";
import { readServices } from "./reader.ts";
import type { AskerCall } from "./testing/asker.ts";
import { type WantedServices, wantedServices } from "./wanted.ts";

const vip = "10.1.9.1";
const vip6 = "fd00:1::9:1";
const published = 5353;
const target = 53;
const table = `\
table inet swarm
delete table inet swarm
table inet swarm {
${serviceDeclarations()}
  chain nat_out {
    type nat hook output priority -100
${vipRules()}
    goto published
  }
  chain published {
${publishedRules()}
  }
}
`;

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
const backend = (number: number) => `10.1.0.${number}`;
const backend6 = (number: number) => `fd00:1::${number.toString(16)}`;
const client = (number: number) => `10.9.0.${number}`;
const client6 = (number: number) => `fd00:9::${number.toString(16)}`;

interface Wish {
  readonly backends: readonly number[];
  readonly affinity?: EndpointAffinity;
  readonly hostIp?: string;
}

function want({ backends, affinity = 0, hostIp = "" }: Wish, previous: ServicePicture) {
  const port = { publishedPort: published, targetPort: target, protocol: PortProtocol.UDP, hostIp };
  const services = [
    create(ServiceEndpointSchema, {
      id: "s",
      affinity,
      networks: [{ networkId: "net", virtualIp: vip, virtualIp6: vip6 }],
      ports: [port],
      publishedNetworkId: "net",
    }),
  ];
  const endpoints = backends.map((number) =>
    create(NetworkEndpointSchema, {
      id: `${number}`,
      networkId: "net",
      serviceId: "s",
      address: backend(number),
      address6: backend6(number),
      serving: true,
    }),
  );
  const networkIds = new Set(["net"]);
  return wantedServices({ nodeId: "n", networkIds, services, endpoints, hostPorts: [] }, previous);
}

describe("services' maps in a kernel", { concurrency: false }, () => {
  const stack = new AsyncDisposableStack();
  let namespace: Namespace;
  let asker: ChildProcess;
  let scratchRoot: string;
  let standing: ServicePicture = emptyServices;

  const nft = (lines: readonly string[]) =>
    namespace.run("nft", ["-f", "-"], { input: `${lines.join("\n")}\n` });
  const exec = {
    run: (command: string, args: readonly string[]) => namespace.run(command, args),
    start: (command: string, args: readonly string[], options: object) => {
      const enter = `--net=/proc/${namespace.pid}/ns/net`;
      return systemExec.start("nsenter", [enter, command, ...args], options);
    },
  };
  const call = async (message: AskerCall): Promise<readonly string[]> => {
    const answered = once(asker, "message", { signal: AbortSignal.timeout(60_000) });
    asker.send(message);
    const [answers] = await answered;
    return answers;
  };
  const ask = (sources: readonly string[], address: string, port: number) =>
    call({ kind: "ask", sources, address, port });
  const lead = async (wish: Wish): Promise<WantedServices> => {
    const wanted = await want(wish, standing);
    const lines = await planServices(standing, wanted);
    if (lines.length > 0) await nft(lines);
    standing = wanted;
    return wanted;
  };

  before(async () => {
    scratchRoot = await mkdtemp(join(tmpdir(), "services-"));
    stack.defer(() => rm(scratchRoot, { recursive: true }));
    namespace = stack.use(await Namespace.open());
    await namespace.batch([
      ...numbers(90).flatMap((number) => [
        `addr add ${backend(number)}/32 dev lo`,
        `addr add ${backend6(number)}/128 dev lo nodad`,
      ]),
      ...numbers(60).flatMap((number) => [
        `addr add ${client(number)}/32 dev lo`,
        `addr add ${client6(number)}/128 dev lo nodad`,
      ]),
      "route add 10.1.9.0/24 dev lo",
      "route add fd00:1::9:0/112 dev lo",
    ]);
    const path = fileURLToPath(new URL("testing/asker.ts", import.meta.url));
    asker = namespace.start(process.execPath, [path], "ipc");
    await once(asker, "message", { signal: AbortSignal.timeout(15_000) });
    const addresses = numbers(90).flatMap((number) => [backend(number), backend6(number)]);
    await call({ kind: "serve", addresses, port: target });
  });

  beforeEach(async () => {
    await nft([table]);
    // A question may have the port of an earlier one, whose flow is decided.
    await namespace.run("conntrack", ["-F"]);
    standing = emptyServices;
  });

  after(() => stack.disposeAsync());

  test("what was written is read back, and stands as it is wanted", async () => {
    assert.deepEqual(await readServices(exec, scratchRoot), emptyServices);
    for (const backends of [[1, 2, 3], numbers(90), [7, 8], []]) {
      for (const affinity of [EndpointAffinity.NONE, EndpointAffinity.CLIENT_IP]) {
        for (const hostIp of ["", "10.9.0.1", "fd00:9::1"]) {
          const { maps, sets } = await lead({ backends, affinity, hostIp });
          assert.deepEqual(await readServices(exec, scratchRoot), { maps, sets });
        }
      }
    }
  });

  test("without our table nothing is read", async () => {
    await nft(["delete table inet swarm"]);
    assert.deepEqual(await readServices(exec, scratchRoot), emptyServices);
  });

  test("a small service's backends are asked equally often", async () => {
    await lead({ backends: numbers(7) });
    const answers = await ask(Array<string>(700).fill(client(1)), vip, target);
    const counts = [...Map.groupBy(answers, (answer) => answer).values()].map((own) => own.length);
    assert.equal(counts.length, 7);
    // Five standard deviations: chance leaves these bounds once in a million runs.
    assert(Math.min(...counts) > 50 && Math.max(...counts) < 150, counts.join());
  });

  test("of 90 backends all are asked, of either family", async () => {
    await lead({ backends: numbers(90) });
    const answers = await ask(Array<string>(1500).fill(client(1)), vip, target);
    assert.deepEqual(new Set(answers), new Set(numbers(90).map(backend)));
    const answers6 = await ask(Array<string>(1500).fill(client6(1)), vip6, target);
    assert.deepEqual(new Set(answers6), new Set(numbers(90).map(backend6)));
  });

  test("with affinity a client keeps its backend while another goes and comes, of either family", async () => {
    const clients = numbers(60);
    for (const six of [false, true]) {
      const sources = clients.map(six ? client6 : client);
      const address = six ? vip6 : vip;
      const affinity = EndpointAffinity.CLIENT_IP;
      await lead({ backends: [1, 2, 3, 4], affinity });
      const first = await ask(sources, address, target);
      assert.equal(new Set(first).size, 4);
      assert.deepEqual(await ask(sources, address, target), first);
      await lead({ backends: [1, 2, 4], affinity });
      const lost = six ? backend6(3) : backend(3);
      const second = await ask(sources, address, target);
      for (const [index, answer] of first.entries()) {
        if (answer === lost) assert.notEqual(second[index], lost);
        else assert.equal(second[index], answer);
      }
      await lead({ backends: [1, 2, 3, 4], affinity });
      assert.deepEqual(await ask(sources, address, target), first);
    }
  });

  test("a published port leads to the target port, for a client always to the same with affinity", async () => {
    await lead({ backends: [1, 2, 3] });
    const all = await ask(Array<string>(60).fill(client(1)), client(2), published);
    assert.deepEqual(new Set(all), new Set([1, 2, 3].map(backend)));
    const all6 = await ask(Array<string>(60).fill(client6(1)), client6(2), published);
    assert.deepEqual(new Set(all6), new Set([1, 2, 3].map(backend6)));
    await lead({ backends: [1, 2, 3], affinity: EndpointAffinity.CLIENT_IP });
    const one = await ask(Array<string>(30).fill(client(1)), client(2), published);
    assert.equal(new Set(one).size, 1);
  });

  test("a port of one address is not on another", async () => {
    for (const [hostIp, other, source] of [
      [client(2), client(3), client(1)],
      [client6(2), client6(3), client6(1)],
    ] as const) {
      await lead({ backends: [1], hostIp });
      const [answer] = await ask([source], hostIp, published);
      assert.equal(answer, hostIp === client(2) ? backend(1) : backend6(1));
      assert.deepEqual(await ask([source], other, published), ["ECONNREFUSED"]);
    }
  });
});
