/**
 * What there is before anything is changed: of every host of the file what check-host and its swarmd say, and of the cluster
 * what one of its managers says. Which host is which node is known from the hosts alone; nothing is kept on this machine.
 */
import { Fault } from "#proto/fault.ts";
import type { ClusterSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type HostReport, parseHostReport } from "#proto/host-report.ts";
import type { Clock } from "#proto/ports.ts";
import type { ClusterFile, FileHost } from "./cluster-file/cluster-file.ts";
import { controlOf } from "./clients.ts";
import { type HostNode, readHostNode } from "./host-node.ts";
import { inParallel } from "./in-parallel.ts";
import type { Remote } from "./remote.ts";

/** Where a swarmd keeps which node it is. */
const nodeFile = "/var/lib/swarm/node.json";

export interface SurveyedHost {
  readonly host: FileHost;
  /** Why it cannot be reached; then nothing else is known. */
  readonly fault?: Fault;
  readonly report?: HostReport;
  /** How far its clock is ahead of this machine's, to within a few seconds. */
  readonly clockAheadMs?: number;
  /** What its swarmd says; absent where none answers. */
  readonly node?: HostNode;
  /** Whether a swarmd has left there which node it is, and will be it again. */
  readonly hasData?: boolean;
}

export interface ClusterView {
  readonly id: string;
  readonly spec: ClusterSpec;
  readonly nodes: readonly Node[];
}

export interface Survey {
  readonly hosts: readonly SurveyedHost[];
  /** Absent where no host of the file is in a cluster, or where no manager answers: `clusterFault` says why. */
  readonly cluster?: ClusterView;
  readonly clusterFault?: Fault;
}

export interface SurveyPorts {
  /** Of every host of the file. */
  readonly remoteOf: (host: FileHost) => Remote;
  /** The text of check-host. */
  readonly checkScript: string;
  readonly clock: Clock;
  readonly onHost?: (host: FileHost, what: string) => void;
}

export async function survey(file: ClusterFile, ports: SurveyPorts): Promise<Survey> {
  const hosts = await inParallel(file.hosts, (host) => surveyHost(host, file, ports));
  return { hosts, ...(await surveyCluster(hosts, ports)) };
}

async function surveyHost(
  host: FileHost,
  file: ClusterFile,
  ports: SurveyPorts,
): Promise<SurveyedHost> {
  const { clock, checkScript, onHost, remoteOf } = ports;
  const remote = remoteOf(host);
  onHost?.(host, "connecting");
  try {
    await remote.run(["true"]);
    onHost?.(host, "checking");
    const node = await readHostNode(remote);
    const args = checkArguments(file);
    const { stdout, stderr, status } = await remote.run(["sh", "-s", "--", ...args], {
      input: checkScript,
    });
    const nowMs = clock.now();
    const report = reportOf(remote, { stdout, stderr, status });
    const clockAheadMs = report.facts.epochMs - nowMs;
    const { status: noData } = await remote.run(["test", "-e", nodeFile]);
    onHost?.(host, "checked");
    const hasData = noData === 0;
    return { host, report, clockAheadMs, hasData, ...(node !== undefined && { node }) };
  } catch (thrown) {
    const fault = Fault.from(thrown);
    if (fault.code === "canceled") throw fault;
    onHost?.(host, "cannot be reached");
    return { host, fault };
  }
}

function checkArguments({ options }: ClusterFile): string[] {
  const port = options["data-path-port"];
  return typeof port === "number" ? ["--data-path-port", `${port}`] : [];
}

function reportOf(
  { name }: Remote,
  { stdout, stderr, status }: { stdout: string; stderr: string; status: number },
): HostReport {
  try {
    return parseHostReport(stdout);
  } catch (thrown) {
    const said = stderr.trim().split("\n").at(-1) ?? "";
    throw Fault.wrap(`Cannot check ${name} (status ${status}${said && `, ${said}`})`, thrown);
  }
}

/** Asks the managers among the hosts, one after the other, until one answers. */
async function surveyCluster(
  hosts: readonly SurveyedHost[],
  { remoteOf }: SurveyPorts,
): Promise<Pick<Survey, "cluster" | "clusterFault">> {
  const members = hosts.filter(({ node }) => node !== undefined && node.nodeId !== "");
  if (members.length === 0) return {};
  let clusterFault = new Fault(
    "unavailable",
    "no manager of the cluster is among the hosts of the file that can be reached",
  );
  for (const { host, node } of members) {
    if (!node?.isManager) continue;
    try {
      return { cluster: await readCluster(remoteOf(host)) };
    } catch (thrown) {
      const fault = Fault.from(thrown);
      if (fault.code === "canceled") throw fault;
      clusterFault = Fault.wrap(`the manager on ${host.name}`, thrown);
    }
  }
  return { clusterFault };
}

async function readCluster(remote: Remote): Promise<ClusterView> {
  using control = await controlOf(remote);
  const { cluster } = await control.client.getCluster({});
  const { nodes } = await control.client.listNodes({});
  if (cluster?.spec === undefined) throw new Fault("internal", "the manager shows no cluster");
  return { id: cluster.id, spec: cluster.spec, nodes };
}
