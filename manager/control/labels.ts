import type { Annotations } from "#proto/gen/swarm/v1/types_pb.ts";

/** Whether the object has all these labels with these values; an empty value means any. */
export function hasLabels(
  annotations: Annotations | undefined,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(([key, value]) => {
    const actual = annotations?.labels[key];
    return actual !== undefined && (value === "" || actual === value);
  });
}
