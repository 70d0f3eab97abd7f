/** What the simulation watches over. Each name is a promise of the control plane. */
export const checkNames = [
  "states grow",
  "one task per slot",
  "one container per slot",
  "one task per node",
  "reservations are kept",
  "replicas per node are kept",
  "addresses are unique",
  "ports are unique",
  "the leader goes on",
  "converges",
  "stays calm",
] as const;

export type CheckName = (typeof checkNames)[number];

/** A promise is broken. */
export class Violation extends Error {
  readonly check: CheckName;

  constructor(check: CheckName, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "Violation";
    this.check = check;
  }
}
