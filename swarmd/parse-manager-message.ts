/** Reads a line of the manager's standard output. Pure. */
import type { FromManager } from "#proto/manager-messages.ts";

/** Undefined: the line is none of the messages. */
export function parseManagerMessage(line: string): FromManager | undefined {
  let value: Readonly<Record<string, unknown>>;
  try {
    value = Object(JSON.parse(line));
  } catch {
    return undefined;
  }
  const { kind, clusterId, certificate, caCertificates, unlockKey } = value;
  switch (kind) {
    case "ready":
    case "locked":
    case "removed":
      return { kind };
    case "unlock-key":
      return typeof unlockKey === "string" ? { kind, unlockKey } : undefined;
    case "issued":
      return typeof clusterId === "string" &&
        typeof certificate === "string" &&
        typeof caCertificates === "string"
        ? { kind, clusterId, certificate, caCertificates }
        : undefined;
    default:
      return undefined;
  }
}
