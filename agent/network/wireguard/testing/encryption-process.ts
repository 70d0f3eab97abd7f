/** A host's encryption alone, without a data plane, told what to do over Node's channel. */
import { systemExec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import type { EncryptionState } from "../encryption.ts";
import type { EncryptionNews } from "../key-rotation.ts";
import { WireGuard } from "../wireguard.ts";

export type EncryptionCall =
  | { readonly kind: "apply"; readonly state: EncryptionState }
  | { readonly kind: "news"; readonly news: EncryptionNews }
  | { readonly kind: "repair" | "key" };

export type EncryptionAnswer =
  | { readonly kind: "done"; readonly value: unknown; readonly programs: readonly string[] }
  | { readonly kind: "failed"; readonly message: string }
  /** Not an answer: the host announces these keys. */
  | { readonly kind: "announced"; readonly key: string };

/** Command lines of the programs that were run for the call. */
const programs: string[] = [];
const exec: typeof systemExec = {
  run(command, args, options) {
    programs.push([command, ...args].join(" "));
    return systemExec.run(command, args, options);
  },
  start(command, args, options) {
    programs.push([command, ...args].join(" "));
    return systemExec.start(command, args, options);
  },
};

const wireguard = await WireGuard.open(
  { dataRoot: "/run/data", runRoot: "/run/swarm" },
  { exec, clock: systemClock, random: systemRandom, log: silentLog },
);

async function perform(call: EncryptionCall): Promise<unknown> {
  switch (call.kind) {
    case "apply":
      return await wireguard.apply(call.state);
    case "news":
      return wireguard.onNews(call.news);
    case "repair":
      return await wireguard.repair();
    case "key":
      return wireguard.publicKey;
  }
}

async function answer(call: EncryptionCall): Promise<EncryptionAnswer> {
  programs.length = 0;
  try {
    return { kind: "done", value: await perform(call), programs: [...programs] };
  } catch (error) {
    return { kind: "failed", message: Fault.from(error).message };
  }
}

function send(message: EncryptionAnswer | "ready"): void {
  process.send?.(message);
}

process.on("message", (call: EncryptionCall) => {
  void answer(call).then(send);
});
wireguard.watch(() => send({ kind: "announced", key: wireguard.publicKey }));
send("ready");
