/**
 * Makes the hosts of a lab one cluster: swarmd on each, the first initializes it, the others join. Speaks to each swarmd
 * over its own socket, as `swarmctl` does, in this process: starting a `swarmctl` per host would cost more than the work.
 */
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import { NodeState, Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Host, HostRole } from "./host.ts";
import { together } from "./together.ts";
import { waitFor } from "./wait.ts";

const readyTimeoutMs = 30_000;
const callTimeoutMs = 20_000;
/** A manager has to catch up first. */
const joinTimeoutMs = 60_000;

export interface ClusterOptions {
  readonly signal?: AbortSignal;
  readonly onStep?: (step: string) => void;
  /** For swarmd's command line, on all hosts. */
  readonly swarmdArgs?: readonly string[];
}

/** Resolves when every host is a node that is ready, and every manager takes part. */
export async function formCluster(
  hosts: readonly Host[],
  options: ClusterOptions = {},
): Promise<void> {
  const [first, ...others] = hosts;
  if (first === undefined) throw new Fault("invalid-argument", "there is no host");
  const { signal, onStep, swarmdArgs = [] } = options;
  await together(
    hosts.map((host) => (aborted) => host.startSwarmd(aborted, swarmdArgs)),
    signal,
  );
  const tokens = await initialize(first, signal);
  onStep?.(`${first.name} is the manager of a new cluster`);
  const join = (host: Host) => async (aborted: AbortSignal) => {
    await joinCluster(host, { manager: first, token: tokens[host.role], signal: aborted });
    onStep?.(`${host.name} joined as a ${host.role}`);
  };
  await together(others.map(join), signal);
  await allReady(hosts, signal);
}

/** Resolves to the tokens with which others join. */
async function initialize(
  host: Host,
  signal: AbortSignal | undefined,
): Promise<Readonly<Record<HostRole, string>>> {
  using connection = host.connect("swarmd");
  const call = { deadlineMs: callTimeoutMs, ...(signal === undefined ? {} : { signal }) };
  const request = { advertiseAddress: host.address };
  const reply = await connection.service(NodeService).initCluster(request, call);
  return { worker: reply.workerJoinToken, manager: reply.managerJoinToken };
}

interface JoinOptions {
  readonly manager: Host;
  readonly token: string;
  readonly signal: AbortSignal;
}

async function joinCluster(host: Host, options: JoinOptions): Promise<void> {
  using connection = host.connect("swarmd");
  const { manager, token, signal } = options;
  const request = { managers: [manager.address], token, advertiseAddress: host.address };
  const call = { deadlineMs: joinTimeoutMs, signal };
  await connection.service(NodeService).joinCluster(request, call);
}

async function allReady(hosts: readonly Host[], signal: AbortSignal | undefined): Promise<void> {
  const [first] = hosts;
  if (first === undefined) return;
  using connection = first.connect("manager");
  const control = connection.service(ControlService);
  const managers = hosts.filter(({ role }) => role === "manager");
  const ready = async () => {
    const { nodes } = await control.listNodes({}, signal === undefined ? {} : { signal });
    const up = nodes.filter((node) => node.status?.state === NodeState.READY);
    const voting = up.filter((node) => node.managerStatus?.reachability === Reachability.REACHABLE);
    return up.length >= hosts.length && voting.length >= managers.length;
  };
  const options = { timeoutMs: readyTimeoutMs, ...(signal === undefined ? {} : { signal }) };
  await waitFor("all nodes to be ready", ready, options);
}
