/** `system check`: whether hosts have what is needed, this one or the cluster's, and whether they go together. */
import { Fault } from "#proto/fault.ts";
import { HostService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { parseHostReport } from "#proto/host-report.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { complain } from "../complain.ts";
import type { Context } from "../context.ts";
import { NodeFault, type NodeFlag, nodeName, nodesMeant, settleNodes } from "../node-call.ts";
import { acrossHosts, type Finding, type HostAnswer, ofReport } from "./host-findings.ts";
import { runCheckHost } from "./local-host.ts";

/** The host looks for some seconds; its programs may hang for some more. */
const deadlineMs = 90_000;

export interface HostsOptions extends NodeFlag {
  readonly local?: true;
}

export async function checkHosts(
  context: Context,
  options: HostsOptions,
): Promise<readonly Finding[]> {
  if (options.local) return await checkLocal();
  const nodes = await reachable(context, options);
  return nodes === undefined ? await checkLocal() : await checkNodes(context, nodes);
}

/** Undefined where the cluster cannot be asked from here: then this host is what can be checked. */
async function reachable(
  context: Context,
  options: HostsOptions,
): Promise<readonly Node[] | undefined> {
  try {
    return await nodesMeant(context, options);
  } catch (thrown) {
    if (options.node !== undefined || !(await context.isHere())) throw thrown;
    const { message } = Fault.from(thrown);
    complain(context.io, `${message}. Only this host is checked`);
    return undefined;
  }
}

async function checkLocal(): Promise<readonly Finding[]> {
  const report = parseHostReport(await runCheckHost());
  return ofReport(report.facts.hostname, report);
}

async function checkNodes(context: Context, nodes: readonly Node[]): Promise<readonly Finding[]> {
  const answers = await settleNodes(nodes, async (node) => await checkNode(context, node));
  const found = answers.flatMap((one) => (one instanceof NodeFault ? [] : [one.answer]));
  return [
    ...answers.flatMap((one) =>
      one instanceof NodeFault ? [unreachable(one)] : ofReport(one.answer.host, one.answer.report),
    ),
    ...acrossHosts(found),
  ];
}

async function checkNode(context: Context, node: Node): Promise<HostAnswer> {
  const client = await context.engine(HostService, node.id);
  const { report, now, version } = await client.checkHost({}, { deadlineMs });
  const aheadMs = msFromTimestamp(now) - context.io.clock.now();
  return { host: nodeName(node), report: parseHostReport(report), aheadMs, version };
}

function unreachable({ node, fault }: NodeFault): Finding {
  return {
    host: nodeName(node),
    check: "reachable",
    result: "wrong",
    detail: fault.message,
    how: "swarmctl system check --mesh says from where; on the host: swarmctl system check --local",
  };
}
