/** The flags of a service's endpoint: published ports, mode and affinity. */
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  type EndpointAffinity,
  type EndpointMode,
  type EndpointSpec,
  EndpointSpecSchema,
  type PortConfig,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { flag, flags } from "../flags/parse-flag.ts";
import { changedPorts, parsePublish, type PortChanges } from "./publish.ts";
import { endpointAffinity, endpointMode } from "./words.ts";

export interface EndpointFlags extends PortChanges {
  readonly publish?: readonly PortConfig[][];
  readonly endpointMode?: EndpointMode;
  readonly endpointAffinity?: EndpointAffinity;
}

export function addEndpointFlags(command: Command, verb: "create" | "update"): void {
  command.optionsGroup("Ports:");
  const port = "a port: 8080:80, or published=8080,target=80,protocol=udp,mode=host (repeat)";
  if (verb === "create") {
    command.option("-p, --publish <port>", `publish ${port}`, flags(parsePublish));
  } else {
    command
      .option("--publish-add <port>", `publish also ${port}`, flags(parsePublish))
      .option(
        "--publish-rm <target>",
        "a port less, by its target: 80/tcp (repeat)",
        flags(parsePublish),
      );
  }
  command
    .option("--endpoint-mode <mode>", "vip (default) or dnsrr", flag(endpointMode))
    .option(
      "--endpoint-affinity <kind>",
      "none (default), or client-ip: a client stays with its task",
      flag(endpointAffinity),
    );
}

/** Undefined where neither the service nor a flag says anything. */
export function changedEndpoint(
  before: EndpointSpec | undefined,
  given: EndpointFlags,
): EndpointSpec | undefined {
  const { publish, publishAdd = publish, publishRm, endpointMode: mode } = given;
  const { endpointAffinity: affinity } = given;
  const silent = [publishAdd, publishRm, mode, affinity].every((flagged) => flagged === undefined);
  if (silent) return before;
  const spec = before ?? create(EndpointSpecSchema);
  const changes = { ...(publishAdd && { publishAdd }), ...(publishRm && { publishRm }) };
  return {
    ...spec,
    ports: changedPorts(spec.ports, changes),
    ...(mode !== undefined && { mode }),
    ...(affinity !== undefined && { affinity }),
  };
}
