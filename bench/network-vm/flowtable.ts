/**
 * A flowtable added to our table by hand: established TCP flows between tasks pass a host past its rules and most of its IP
 * stack. What passes so gets no mark, so these flows must not be routed by one: their answers find the task by its address.
 */
import assert from "node:assert/strict";
import { plainDevice, vethPattern } from "#agent/network/devices.ts";
import type { Host } from "#agent/network/testing/ground.ts";

/** Until it is disposed: repair takes away what is not ours. */
export async function useFlowtable(hosts: readonly Host[]): Promise<AsyncDisposable> {
  for (const host of hosts) await addFlowtable(host);
  return {
    async [Symbol.asyncDispose]() {
      for (const host of hosts) await host.call({ kind: "repair" });
    },
  };
}

/** Fails where no flow is in the flowtable of each host while this goes on. */
export async function checkOffload(hosts: readonly Host[], load: Promise<unknown>): Promise<void> {
  const offloaded = new Set<Host>();
  const end = new AbortController();
  const ended = load.finally(() => end.abort());
  while (!end.signal.aborted && offloaded.size < hosts.length) {
    for (const host of hosts) if (await offloads(host)) offloaded.add(host);
  }
  await ended;
  assert.equal(offloaded.size, hosts.length, "flows are in the flowtable");
}

async function addFlowtable({ namespace }: Host): Promise<void> {
  const { stdout } = await namespace.run("ip", ["-br", "link"]);
  const prefix = vethPattern.replace("*", "");
  const names = stdout.split("\n").map((line) => /^[^@\s]*/.exec(line)?.[0] ?? "");
  const veths = names.filter((name) => name.startsWith(prefix));
  const devices = [...veths, plainDevice].map((name) => `"${name}"`).join(", ");
  const between = "ip saddr @pool ip daddr @pool";
  const input = `\
table inet swarm {
  flowtable fast { hook ingress priority filter; devices = { ${devices} }; }
}
insert rule inet swarm mangle_pre ${between} return
insert rule inet swarm filter_fwd meta l4proto tcp ct state established ${between} flow add @fast
`;
  await namespace.run("nft", ["-f", "-"], { input });
}

async function offloads({ namespace }: Host): Promise<boolean> {
  const { stdout } = await namespace.run("conntrack", ["-L"]);
  return stdout.includes("[OFFLOAD]");
}
