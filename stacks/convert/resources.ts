/** What a service may use and what it reserves: `deploy.resources`, and the keys of the Compose Specification beside it. */
import { create } from "@bufbuild/protobuf";
import {
  type GenericResource,
  GenericResourceSchema,
  type ResourceRequirements,
  ResourceRequirementsSchema,
  type Resources,
  ResourcesSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { parseNanoCpus, parseSizeBytes } from "#proto/size.ts";
import type { GenericResourceEntry, ServiceEntry } from "../compose/compose-file.ts";
import { type Reader, refusal } from "./reader.ts";

/** Undefined where the file says nothing of them. */
export function resourceRequirements(
  reader: Reader,
  entry: ServiceEntry,
): ResourceRequirements | undefined {
  const { limits, reservations } = entry.deploy?.resources ?? {};
  const limited = {
    nanoCpus: either(reader, "cpus", {
      short: entry.cpus,
      long: limits?.cpus,
      path: ["deploy", "resources", "limits", "cpus"],
      parse: parseNanoCpus,
    }),
    memoryBytes: either(reader, "mem_limit", {
      short: entry.mem_limit,
      long: limits?.memory,
      path: ["deploy", "resources", "limits", "memory"],
      parse: parseSizeBytes,
    }),
  };
  const place = reader.under("deploy", "resources", "reservations");
  const reserved = {
    nanoCpus: place.one("cpus", reservations?.cpus, parseNanoCpus),
    memoryBytes: either(reader, "mem_reservation", {
      short: entry.mem_reservation,
      long: reservations?.memory,
      path: ["deploy", "resources", "reservations", "memory"],
      parse: parseSizeBytes,
    }),
    generic: place.each("generic_resources", reservations?.generic_resources, genericResource),
  };
  const swap = swapFields(reader, entry, limited.memoryBytes);
  const hasLimits = limits !== undefined || isSet(limited);
  const hasReservations = reservations !== undefined || isSet(reserved);
  if (!hasLimits && !hasReservations && Object.keys(swap).length === 0) return undefined;
  return create(ResourceRequirementsSchema, {
    ...(hasLimits && { limits: resourcesOf(limited) }),
    ...(hasReservations && { reservations: resourcesOf(reserved) }),
    ...swap,
  });
}

/** `memswap_limit` counts memory and swap together, as `docker run` does; a spec counts swap alone. -1 is no limit. */
function swapFields(
  reader: Reader,
  { memswap_limit: limit, mem_swappiness: swappiness }: ServiceEntry,
  memoryBytes: bigint | undefined,
): Pick<ResourceRequirements, "swapBytes" | "memorySwappiness"> {
  const swapBytes = reader.one("memswap_limit", limit, (text) => {
    if (memoryBytes === undefined) throw refusal("it goes with a limit of memory");
    if (text === "-1") return -1n;
    const total = parseSizeBytes(text);
    if (total < memoryBytes)
      throw refusal("it is less than the limit of memory, which it includes");
    return total - memoryBytes;
  });
  return {
    ...(swapBytes !== undefined && { swapBytes }),
    ...(swappiness !== undefined && { memorySwappiness: BigInt(swappiness) }),
  };
}

export function pidsLimit(reader: Reader, { deploy, pids_limit: short }: ServiceEntry): bigint {
  const path = ["deploy", "resources", "limits", "pids"];
  const long = deploy?.resources?.limits?.pids;
  return either(reader, "pids_limit", { short, long, path, parse: (value) => BigInt(value) }) ?? 0n;
}

interface Alternatives<T, R> {
  readonly short: T | undefined;
  readonly long: T | undefined;
  /** Of the long one. */
  readonly path: readonly string[];
  readonly parse: (value: T) => R;
}

/** One of two keys that mean the same; both, if they say the same. */
function either<T, R>(
  reader: Reader,
  key: string,
  { short, long, path, parse }: Alternatives<T, R>,
): R | undefined {
  const name = path.at(-1) ?? "";
  const [a, b] = [
    reader.one(key, short, parse),
    reader.under(...path.slice(0, -1)).one(name, long, parse),
  ];
  if (a === undefined || b === undefined || a === b) return b ?? a;
  throw reader
    .under(key)
    .fault(`says something else than ${path.join(".")}: leave one of them out`);
}

function genericResource({ discrete_resource_spec: entry }: GenericResourceEntry): GenericResource {
  const { kind = "", value = 0 } = entry ?? {};
  if (kind === "") throw refusal("it has no discrete_resource_spec with a kind");
  const resource = { case: "discrete", value: { kind, value: BigInt(value) } } as const;
  return create(GenericResourceSchema, { resource });
}

interface Amounts {
  readonly nanoCpus: bigint | undefined;
  readonly memoryBytes: bigint | undefined;
  readonly generic?: GenericResource[];
}

function isSet({ nanoCpus, memoryBytes }: Amounts): boolean {
  return nanoCpus !== undefined || memoryBytes !== undefined;
}

function resourcesOf({ nanoCpus = 0n, memoryBytes = 0n, generic = [] }: Amounts): Resources {
  return create(ResourcesSchema, { nanoCpus, memoryBytes, generic });
}
