/** The rules that fields of several specs share. Each throws a Fault that names the field, its value and the rule. */
import type { Duration } from "@bufbuild/protobuf/wkt";
import { Fault } from "#proto/fault.ts";
import type { Annotations } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration } from "#proto/time.ts";

/** A DNS label's; service and network names stand in DNS. */
const nameLengthMax = 63;

/** As Swarm's: letters and digits, with hyphens and underscores between them. */
const namePattern = /^[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?$/;

export function invalid(path: string, problem: string): Fault {
  return new Fault("invalid-argument", `${path} ${problem}`);
}

export function checkAnnotations(annotations: Annotations | undefined): void {
  checkName("annotations.name", annotations?.name ?? "");
  checkLabels(annotations);
}

export function checkLabels(annotations: Annotations | undefined): void {
  if (Object.hasOwn(annotations?.labels ?? {}, "")) {
    throw invalid("annotations.labels", "has an empty key");
  }
}

export function checkName(path: string, name: string): void {
  if (name === "") throw invalid(path, "is empty: give a name");
  if (name.length > nameLengthMax) {
    const begin = name.slice(0, nameLengthMax);
    const problem = `"${begin}…" has ${name.length} characters: use at most ${nameLengthMax}`;
    throw invalid(path, problem);
  }
  if (!namePattern.test(name)) {
    const problem = `"${name}" is not a DNS label: use letters, digits, "-" and "_", and begin and end with a letter or digit`;
    throw invalid(path, problem);
  }
}

export function checkDuration(path: string, duration: Duration | undefined): void {
  const ms = msFromDuration(duration, 0);
  if (ms < 0) throw invalid(path, `is ${ms} ms: use 0 or more`);
}

export function checkAbsolutePath(path: string, value: string): void {
  if (!value.startsWith("/")) throw invalid(path, `"${value}" is not an absolute path`);
  if (value.includes("\0")) throw invalid(path, "contains a NUL character");
}

export interface Range<T> {
  readonly min: T;
  readonly max?: T;
}

export function checkRange<T extends number | bigint>(
  path: string,
  value: T,
  range: Range<T>,
): void {
  const { min, max } = range;
  if (value >= min && (max === undefined || value <= max)) return;
  throw invalid(path, `is ${value}: use ${min} ${max === undefined ? "or more" : `to ${max}`}`);
}

/** What the parser returns; its Fault begins with the field's name. */
export function parsed<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    throw Fault.wrap(path, thrown);
  }
}

/** Enums of the wire are open: any number arrives. */
export function checkEnum(
  path: string,
  value: number,
  known: Readonly<Record<string, number>>,
): void {
  if (Object.values(known).includes(value)) return;
  throw invalid(path, `is ${value}, which has no meaning`);
}
