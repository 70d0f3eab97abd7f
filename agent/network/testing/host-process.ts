/** A host's agent as far as its network goes: driver and nameserver, told what to do over Node's channel. */
import { systemExec } from "#agent/exec.ts";
import { DnsServer } from "#agent/dns/dns-server.ts";
import { Fault } from "#proto/fault.ts";
import type { NetworkAttachment, PortConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { FastPath } from "../fastpath/fast-path.ts";
import { fastPathVariable } from "../fastpath/testing/compile.ts";
import { NetworkDriver, type NetworkState } from "../network-driver.ts";
import { WireGuard } from "../wireguard/wireguard.ts";

export type Call =
  | { readonly kind: "apply"; readonly state: NetworkState }
  | {
      readonly kind: "attach";
      readonly tasks: readonly {
        readonly id: string;
        readonly attachments: readonly NetworkAttachment[];
        readonly hostPorts?: readonly PortConfig[];
        readonly nameservers?: readonly string[];
      }[];
    }
  | { readonly kind: "detach"; readonly taskIds: readonly string[] }
  /** Of what was applied last, as managers' news have it: all other objects are the same as before. */
  | { readonly kind: "serve"; readonly endpointId: string; readonly serving: boolean }
  | { readonly kind: "list" | "repair" | "status" | "key" | "cleanup" };

export type Answer =
  | { readonly kind: "done"; readonly value: unknown; readonly programs: readonly string[] }
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

/** Command lines of the programs that were run for the call. */
const programs: string[] = [];
const exec: typeof systemExec = {
  run(command, args, options) {
    programs.push([command, ...args].join(" "));
    return systemExec.run(command, args, options);
  },
  start: (command, args, options) => systemExec.start(command, args, options),
};

const roots = { dataRoot: "/run/data", runRoot: "/run/swarm" };
const modules = { exec, clock: systemClock, random: systemRandom, log: silentLog };
const encryption = await WireGuard.open(roots, modules);
const objectPath = process.env[fastPathVariable];
const fastPath = await FastPath.open(
  objectPath === undefined ? { mode: "off" } : { mode: "on", objectPath },
  modules,
);
const driver = await NetworkDriver.open(roots, { ...modules, encryption, fastPath });
const dns = new DnsServer(
  { resolvConf: "/run/upstream.conf" },
  { ...modules, nameserversOf: (address) => driver.nameserversOf(address) },
);

/** What was applied last. */
const told: { state?: NetworkState } = {};

async function apply(state: NetworkState): Promise<void> {
  told.state = state;
  await driver.apply(state);
  await dns.apply({ ...state, networks: [...state.networks, ...driver.localNetworks()] });
}

async function serve(endpointId: string, serving: boolean): Promise<void> {
  const { state } = told;
  if (state === undefined) throw new Fault("failed-precondition", "nothing was applied yet");
  const endpoints = state.endpoints.map((one) =>
    one.id === endpointId ? { ...one, serving } : one,
  );
  await apply({ ...state, endpoints });
}

async function perform(call: Call): Promise<unknown> {
  switch (call.kind) {
    case "apply":
      return await apply(call.state);
    case "serve":
      return await serve(call.endpointId, call.serving);
    case "attach":
      return await Promise.all(
        call.tasks.map(({ id, attachments, hostPorts = [], nameservers = [] }) =>
          driver.attach(id, attachments, { hostPorts, nameservers }),
        ),
      );
    case "detach":
      return await Promise.all(call.taskIds.map((id) => driver.detach(id)));
    case "list":
      return await driver.list();
    case "status":
      return driver.status();
    case "key":
      return encryption.publicKey;
    case "repair":
      return await driver.repair();
    case "cleanup":
      await dns[Symbol.asyncDispose]();
      return await driver.cleanup();
  }
}

async function answer(call: Call): Promise<Answer> {
  programs.length = 0;
  try {
    const value = await perform(call);
    await driver.idle();
    return { kind: "done", value, programs: [...programs] };
  } catch (error) {
    const { code, message } = Fault.from(error);
    return { kind: "failed", code, message };
  }
}

process.on("message", (call: Call) => {
  void answer(call).then((result) => process.send?.(result));
});
process.send?.("ready");
