/**
 * What another node's overlay packets have come to here. An echo needs both directions, so that one that fails does not tell
 * which of them is closed; that a packet arrived does.
 */
import { readFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import {
  type CountArrivalsRequest,
  type CountArrivalsResponse,
  CountArrivalsResponseSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { encryptedDevice, plainDevice } from "../devices.ts";
import type { NetworkState } from "../network-state.ts";
import { encryptionDevice } from "../wireguard/addresses.ts";
import { whatOf } from "./probe-node.ts";

export async function countArrivals(
  { nodeId }: CountArrivalsRequest,
  state: NetworkState,
  exec: Exec,
): Promise<CountArrivalsResponse> {
  const peer = state.peers.find((one) => one.nodeId === nodeId);
  if (peer === undefined) {
    throw new Fault("not-found", `this node has not heard of node ${nodeId} from its managers`);
  }
  const plain = countEchoes(await read(`/proc/net/dev_snmp6/${plainDevice}`));
  const encrypted = countReceived(await transfer(exec), peer.encryptionKey);
  const counts = [
    { what: whatOf(plainDevice), count: plain },
    { what: whatOf(encryptedDevice), count: encrypted },
  ];
  return create(CountArrivalsResponseSchema, {
    arrivals: counts.flatMap(({ what, count }) => (count === undefined ? [] : [{ what, count }])),
  });
}

/** The device is there on nodes that carry a network of its kind. */
async function read(path: string): Promise<string> {
  return await readFile(path, "utf8").catch(() => "");
}

/** Public keys and bytes: unlike "dump", it prints nothing that is secret. */
async function transfer(exec: Exec): Promise<string> {
  return await exec.run("wg", ["show", encryptionDevice, "transfer"], { timeoutMs: 5_000 }).then(
    ({ stdout }) => stdout,
    () => "",
  );
}

/** Of /proc/net/dev_snmp6/DEVICE: requests alone; answers come where the other direction is open. */
export function countEchoes(text: string): bigint | undefined {
  const count = /^Icmp6InEchos\s+(\d+)$/m.exec(text)?.[1];
  return count === undefined ? undefined : BigInt(count);
}

/** Of `wg show DEVICE transfer`: KEY, bytes received, bytes sent. Hellos count, too, whether or not they can be answered. */
export function countReceived(text: string, key: string): bigint | undefined {
  const rows = text.split("\n").map((line) => line.split("\t"));
  const received = rows.find(([peer]) => peer === key && key !== "")?.[1];
  return received !== undefined && /^\d+$/.test(received) ? BigInt(received) : undefined;
}
