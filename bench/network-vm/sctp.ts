/** That SCTP passes virtual addresses and published ports, the client's address kept. */
import assert from "node:assert/strict";
import { outside } from "#agent/network/testing/ground.ts";
import type { Run } from "../network/load.ts";
import { ask, type MachineScene, publishedSctpPort, sctpPort, virtualAddress } from "./scene.ts";

export async function checkSctp(scene: MachineScene): Promise<void> {
  const { client, clientAddress, server } = scene.plain;
  assert.equal(await ask(client, `SCTP:${server}:${sctpPort}`), clientAddress);
  assert.equal(await ask(client, `SCTP:${virtualAddress}:${sctpPort}`), clientAddress);
  const lan: Run = (command, args) => scene.lan.run(command, args);
  for (const { address } of scene.hosts) {
    assert.equal(await ask(lan, `SCTP:${address}:${publishedSctpPort}`), outside);
  }
}
