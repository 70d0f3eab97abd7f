/**
 * Runs inside the virtual machine, on a kernel that has what this machine's own may lack: WireGuard's module, SCTP,
 * flowtables. Writes one JSON object.
 */
import { release } from "node:os";
import { measureStream } from "../network/load.ts";
import { checkEncryption } from "./encryption.ts";
import { checkOffload, useFlowtable } from "./flowtable.ts";
import type { MachineResult, MachineRound } from "./report.ts";
import { MachineScene } from "./scene.ts";
import { checkSctp } from "./sctp.ts";

const roundCount = 3;

async function measureRound({ plain, sealed, hosts }: MachineScene): Promise<MachineRound> {
  const plainBits = await measureStream(plain.client, plain.server);
  const encryptedBits = await measureStream(sealed.client, sealed.server);
  await using _ = await useFlowtable(hosts);
  const offloadedBits = await measureStream(plain.client, plain.server);
  return { plainBits, encryptedBits, offloadedBits };
}

async function checkFlowtable({ plain, hosts }: MachineScene): Promise<void> {
  await using _ = await useFlowtable(hosts);
  await checkOffload(hosts, measureStream(plain.client, plain.server));
}

async function measure(): Promise<MachineResult> {
  await using scene = await MachineScene.open();
  say("two hosts stand");
  await checkEncryption(scene);
  say("encryption is checked");
  await checkSctp(scene);
  say("SCTP is checked");
  await checkFlowtable(scene);
  say("the flowtable is checked");
  const rounds: MachineRound[] = [];
  while (rounds.length < roundCount) {
    rounds.push(await measureRound(scene));
    say(JSON.stringify(rounds.at(-1)));
  }
  return { kernel: release(), rounds };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

process.stdout.write(`${JSON.stringify(await measure())}\n`);
