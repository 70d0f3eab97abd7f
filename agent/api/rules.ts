/**
 * Who may call each method of the services that an engine serves. The certificate says it, and who the managers are now:
 * an engine knows no store. A method without a rule does not compile.
 */
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { Caller } from "#proto/caller.ts";
import { Fault } from "#proto/fault.ts";
import {
  ContainerService,
  EngineService,
  HostService,
  ImageService,
  LayerService,
  NetworkService,
  VolumeService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Authorize, CallContext } from "#proto/grpc.ts";
import type { KnownManagers } from "./known-managers.ts";

type Rule =
  /** A manager of this cluster, in its users' name. */
  | "manager"
  /** Any node of this cluster. */
  | "node";

type Rules<S extends DescService> = { readonly [M in keyof S["method"]]: Rule };

const images: Rules<typeof ImageService> = {
  listImages: "manager",
  getImage: "manager",
  pullImage: "manager",
  removeImage: "manager",
  pruneImages: "manager",
  loadImages: "manager",
  saveImages: "manager",
};

const volumes: Rules<typeof VolumeService> = {
  createVolume: "manager",
  listVolumes: "manager",
  getVolume: "manager",
  removeVolume: "manager",
  pruneVolumes: "manager",
};

const containers: Rules<typeof ContainerService> = {
  exec: "manager",
  attach: "manager",
  forwardPort: "manager",
  readArchive: "manager",
  writeArchive: "manager",
  watchStats: "manager",
};

const engine: Rules<typeof EngineService> = { getDiskUsage: "manager", getHostState: "manager" };

const networks: Rules<typeof NetworkService> = {
  inspectHostNetwork: "manager",
  traceFromTask: "manager",
  traceToTask: "manager",
  probeNode: "manager",
  countArrivals: "manager",
};

const host: Rules<typeof HostService> = { checkHost: "manager", collectSupport: "manager" };

const layers: Rules<typeof LayerService> = { findBlobs: "node", readBlob: "node" };

const rules: ReadonlyMap<string, Readonly<Record<string, Rule>>> = new Map<
  string,
  Readonly<Record<string, Rule>>
>([
  [ImageService.typeName, images],
  [VolumeService.typeName, volumes],
  [ContainerService.typeName, containers],
  [EngineService.typeName, engine],
  [LayerService.typeName, layers],
  [NetworkService.typeName, networks],
  [HostService.typeName, host],
]);

export function ruleOf(method: DescMethod): Rule | undefined {
  return rules.get(method.parent.typeName)?.[method.localName];
}

/** For `addService`. */
export function authorizer(managers: KnownManagers): Authorize {
  return (method, context) => authorize(managers, method, context);
}

function authorize(managers: KnownManagers, method: DescMethod, { caller }: CallContext): void {
  const rule = ruleOf(method);
  if (rule === undefined) {
    throw new Fault("permission-denied", `${method.name} is for nobody: it has no rule`);
  }
  if (caller.kind === "anonymous") {
    const message = `${method.name} needs a certificate of this cluster: ${caller.problem}`;
    throw new Fault("unauthenticated", message);
  }
  if (caller.kind === "node" && rule === "node") return;
  if (caller.kind === "node" && caller.role === "manager") {
    if (managers.mayBe(caller.nodeId)) return;
    const what = `node "${caller.nodeId}" is not a manager any more, or this node has not heard of it`;
    throw new Fault("unavailable", `${method.name} is for managers: ${what}`);
  }
  const whom = rule === "node" ? "nodes" : "managers";
  throw new Fault(
    "permission-denied",
    `${method.name} is for ${whom}: ${certificateOf(caller)}; users call it at a manager`,
  );
}

function certificateOf(caller: Caller): string {
  switch (caller.kind) {
    case "user":
      return "the certificate is a user's";
    case "node":
      return `the certificate is a ${caller.role}'s`;
    default:
      return "no certificate is shown";
  }
}
