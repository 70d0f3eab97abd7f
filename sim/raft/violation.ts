/** What the simulation watches over. Each name is a promise of the core. */
export const checkNames = [
  "one leader per term",
  "elected by a majority",
  "one vote per term",
  "log matching",
  "leader completeness",
  "committed by a majority",
  "committed is not undone",
  "applied in one order",
  "equal states",
  "durable before said",
  "one membership change at a time",
  "read index",
  "linearizable",
  "acknowledged is kept",
  "leaders are in touch",
  "contract",
  "recovers",
  "stays calm",
  "converges",
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
