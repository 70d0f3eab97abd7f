/** That encrypted networks stand on the kernel's WireGuard, and fail closed there, too. */
import assert from "node:assert/strict";
import {
  encryptionDevice,
  encryptionPort,
  encryptionRange,
} from "#agent/network/wireguard/addresses.ts";
import { ask, type MachineScene, tcpPort } from "./scene.ts";

const rules = [
  `udp dport ${encryptionPort} counter comment "sealed"`,
  'udp dport 4789 @th,96,24 4097 counter comment "clear"',
  `ip daddr ${encryptionRange} counter comment "clear"`,
  'udp dport 4789 @th,96,24 4096 counter comment "plain"',
];

type Kind = "sealed" | "clear" | "plain";

export async function checkEncryption(scene: MachineScene): Promise<void> {
  const { sealed, plain } = scene;
  const first = scene.host(1);
  for (const { namespace } of scene.hosts) {
    const link = await namespace.run("ip", ["-d", "link", "show", encryptionDevice]);
    assert.match(link.stdout, /^\s+wireguard /m, "the kernel's module carries the link");
  }
  const reach = () => ask(sealed.client, `TCP:${sealed.server}:${tcpPort}`);
  await countOnLan(scene);
  assert.equal(await reach(), sealed.clientAddress);
  assert((await count(scene, "sealed")) > 0);
  assert.equal(await count(scene, "plain"), 0);
  const plainAnswer = await ask(plain.client, `TCP:${plain.server}:${tcpPort}`);
  assert.equal(plainAnswer, plain.clientAddress);
  assert((await count(scene, "plain")) > 0, "control: a plain network's packets are seen");

  const before = await count(scene, "plain");
  await first.namespace.batch([
    `route replace ${sealed.server}/32 via ${scene.host(2).address} dev sw-vx0 onlink`,
  ]);
  assert.equal(await reach(), "", "a wrong route leads nowhere");
  assert.equal(await count(scene, "plain"), before);
  await first.call({ kind: "repair" });
  assert.equal(await reach(), sealed.clientAddress);

  await first.namespace.run("ip", ["route", "flush", "root", encryptionRange]);
  assert.equal(await reach(), "", "without WireGuard's route it fails closed");
  await first.call({ kind: "repair" });
  assert.equal(await reach(), sealed.clientAddress);
  assert.equal(await count(scene, "clear"), 0);
}

/** What the first host sends, at the other end of its cable. */
async function countOnLan({ lan }: MachineScene): Promise<void> {
  const hook = 'type filter hook ingress device "h1" priority -500';
  const chain = [hook, ...rules].map((line) => `    ${line};`).join("\n");
  const table = `table netdev tap {\n  chain tap {\n${chain}\n  }\n}\n`;
  await lan.run("nft", ["-f", "-"], { input: table });
}

async function count({ lan }: MachineScene, kind: Kind): Promise<number> {
  const { stdout } = await lan.run("nft", ["list", "table", "netdev", "tap"]);
  const lines = stdout.split("\n").filter((line) => line.includes(`"${kind}"`));
  assert(lines.length > 0, stdout);
  return lines.reduce((sum, line) => sum + Number(/packets (\d+)/.exec(line)?.[1]), 0);
}
