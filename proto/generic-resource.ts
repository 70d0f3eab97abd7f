/**
 * Generic resources as users write them, and as containers see them. A node has a kind either counted ("ssd=4") or as named
 * pieces ("gpu=UUID1,gpu=UUID2"); a service asks for a number of either ("gpu=2").
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "./fault.ts";
import { type GenericResource, GenericResourceSchema } from "./gen/swarm/v1/types_pb.ts";

/** Kinds are parts of environment variables' names, pieces parts of lists with commas. */
const kindPattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const piecePattern = /^[A-Za-z0-9][A-Za-z0-9._:@/-]*$/;
const integerPattern = /^[+-]?\d+$/;
const countMax = 2n ** 31n - 1n;

/** Each text is KIND=COUNT or KIND=NAME, or several with commas between them. */
export function parseGenericResources(texts: readonly string[]): readonly GenericResource[] {
  const valuesByKind = new Map<string, string[]>();
  for (const term of texts.flatMap((text) => text.split(","))) {
    const [kind = "", value = "", ...more] = term.split("=").map((part) => part.trim());
    if (kind === "" || value === "" || more.length > 0) {
      throw refusal(`"${term}" is neither KIND=COUNT nor KIND=NAME, such as ssd=4 or gpu=UUID1`);
    }
    checkKind(kind);
    const values = valuesByKind.get(kind);
    if (values === undefined) valuesByKind.set(kind, [value]);
    else values.push(value);
  }
  return [...valuesByKind].flatMap(([kind, values]) => resourcesOf(kind, values));
}

export function checkKind(kind: string): void {
  if (kindPattern.test(kind)) return;
  throw refusal(
    `of the kind "${kind}" has other characters than letters, digits, ".", "_" and "-"`,
  );
}

export function kindOf({ resource }: GenericResource): string {
  return resource.value?.kind ?? "";
}

/** As Docker: DOCKER_RESOURCE_GPU=UUID1,UUID2. */
export function genericResourceEnv(granted: readonly GenericResource[]): readonly string[] {
  return [...Map.groupBy(granted, kindOf)].map(([kind, pieces]) => {
    const values = pieces.map(({ resource }) => String(resource.value?.value ?? ""));
    return `DOCKER_RESOURCE_${kind.toUpperCase()}=${values.join(",")}`;
  });
}

function resourcesOf(kind: string, values: readonly string[]): readonly GenericResource[] {
  const [first = ""] = values;
  if (values.length === 1 && integerPattern.test(first)) {
    const value = BigInt(first);
    if (value < 0n || value > countMax) {
      throw refusal(`"${kind}=${first}" is no count: use 0 to ${countMax}`);
    }
    return [
      create(GenericResourceSchema, { resource: { case: "discrete", value: { kind, value } } }),
    ];
  }
  const number = values.find((value) => integerPattern.test(value));
  if (number !== undefined) {
    throw refusal(
      `"${kind}=${number}" is a count beside another of its kind: count it once, or name all pieces`,
    );
  }
  const strange = values.find((value) => !piecePattern.test(value));
  if (strange !== undefined) {
    throw refusal(
      `"${kind}=${strange}" names a piece with other characters than letters, digits and . _ : @ / -`,
    );
  }
  const twice = values.find((value, index) => values.indexOf(value) !== index);
  if (twice !== undefined) throw refusal(`"${kind}=${twice}" is there twice`);
  return values.map((value) =>
    create(GenericResourceSchema, { resource: { case: "named", value: { kind, value } } }),
  );
}

function refusal(problem: string): Fault {
  return new Fault("invalid-argument", `the generic resource ${problem}`);
}
