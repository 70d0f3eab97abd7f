/** What a cluster's spec must look like. Pure. */
import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type ClusterSpec,
  ClusterSpecSchema,
  NetworkConfigSchema,
  type TaskDefaults,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { AnnotationsSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseSubnet } from "#proto/ipv4.ts";
import { parseLogDriver } from "#proto/log-driver.ts";
import { durationFromMs, msFromDuration } from "#proto/time.ts";
import { clusterDefaults } from "../cluster.ts";
import { checkLabels, checkName, invalid, parsed } from "./field.ts";
import { refuseUnsupported } from "./supported.ts";

const heartbeatPeriodMsMin = 100;
/** A dead node is found after some of these: nobody wants to wait longer. */
const heartbeatPeriodMsMax = 60_000;

/** Swarm's. */
const nodeCertExpiryMsMin = 3_600_000;
/** Ten years: half of what a root lives, whose end is that of all certificates. */
const nodeCertExpiryMsMax = 10 * 365 * 24 * 3_600_000;

/** The smallest subnets that still have room for tasks. */
const subnetSizeMax = 29;

/** The spec as it holds: what is left out is filled in once, so that a later default does not change a cluster. */
export function validateClusterSpec(spec: ClusterSpec | undefined): ClusterSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  refuseUnsupported(ClusterSpecSchema, spec);
  checkLabels(spec.annotations);
  const name = spec.annotations?.name || clusterDefaults.name;
  checkName("annotations.name", name);
  const { ca } = spec;
  return create(ClusterSpecSchema, {
    annotations: create(AnnotationsSchema, { name, labels: spec.annotations?.labels ?? {} }),
    orchestration: {
      taskHistoryRetentionLimit:
        spec.orchestration?.taskHistoryRetentionLimit ?? BigInt(clusterDefaults.historyLimit),
    },
    dispatcher: { heartbeatPeriod: heartbeatPeriodOf(spec) },
    ca: {
      nodeCertExpiry: nodeCertExpiryOf(spec),
      signingCaCert: ca?.signingCaCert ?? new Uint8Array(),
      signingCaKey: ca?.signingCaKey ?? new Uint8Array(),
      forceRotate: ca?.forceRotate ?? 0n,
    },
    encryption: { autoLockManagers: spec.encryption?.autoLockManagers ?? false },
    network: networkOf(spec),
    ...(spec.taskDefaults !== undefined && { taskDefaults: taskDefaultsOf(spec.taskDefaults) }),
  });
}

/** What is decided when a cluster begins, because everything that came after builds on it. */
export function refuseFixedChange(before: ClusterSpec | undefined, after: ClusterSpec): void {
  if (before?.annotations?.name !== after.annotations?.name) {
    throw new Fault("unimplemented", "annotations.name cannot be changed");
  }
  const [was, is] = [before?.network, after.network];
  if (was !== undefined && is !== undefined && equals(NetworkConfigSchema, was, is)) return;
  const message = "network cannot be changed: the networks that there are have their subnets";
  throw new Fault("unimplemented", message);
}

function heartbeatPeriodOf({ dispatcher }: ClusterSpec) {
  const period = dispatcher?.heartbeatPeriod ?? durationFromMs(clusterDefaults.heartbeatPeriodMs);
  const ms = msFromDuration(period, 0);
  if (ms >= heartbeatPeriodMsMin && ms <= heartbeatPeriodMsMax) return period;
  const problem = `is ${ms} ms: use ${heartbeatPeriodMsMin} ms to ${heartbeatPeriodMsMax / 1000} s`;
  throw invalid("dispatcher.heartbeat_period (--dispatcher-heartbeat)", problem);
}

/** Of tasks that are made from now on: what runs keeps its driver. */
function taskDefaultsOf(defaults: TaskDefaults): TaskDefaults {
  parsed("task_defaults.log_driver", () => parseLogDriver(defaults.logDriver));
  return defaults;
}

function nodeCertExpiryOf({ ca }: ClusterSpec) {
  const expiry = ca?.nodeCertExpiry ?? durationFromMs(clusterDefaults.nodeCertExpiryMs);
  const ms = msFromDuration(expiry, 0);
  if (ms >= nodeCertExpiryMsMin && ms <= nodeCertExpiryMsMax) return expiry;
  const problem = ms < nodeCertExpiryMsMin ? "is under an hour" : "is over ten years";
  throw invalid("ca.node_cert_expiry (--cert-expiry)", `${problem}: use 1h to 87600h`);
}

function networkOf({ network }: ClusterSpec) {
  const pools = network?.defaultAddressPools ?? [];
  const defaultAddressPools = pools.length === 0 ? [...clusterDefaults.addressPools] : pools;
  const subnetSize = network?.subnetSize || clusterDefaults.subnetSize;
  for (const [index, pool] of defaultAddressPools.entries()) {
    const { prefix } = parsed(`network.default_address_pools[${index}]`, () => parseSubnet(pool));
    if (subnetSize >= prefix && subnetSize <= subnetSizeMax) continue;
    const problem = `is /${subnetSize}: use a size from that of the pool, /${prefix}, to /${subnetSizeMax}`;
    throw invalid("network.subnet_size", problem);
  }
  return { defaultAddressPools, subnetSize };
}
