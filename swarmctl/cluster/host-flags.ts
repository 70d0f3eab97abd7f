/** Where a host of a cluster is reached, as flags: for `init`, `join` and `restore`. */
import type { Command } from "commander";

export interface HostFlags {
  readonly advertiseAddr?: string;
  readonly listenAddr?: string;
  readonly dataPathAddr?: string;
}

export function addHostFlags(command: Command): Command {
  return command
    .option(
      "--advertise-addr <addr>",
      "host[:port] at which other nodes reach this one; an interface will do",
    )
    .option("--listen-addr <addr>", "host[:port] that a manager listens on (default 0.0.0.0:2377)")
    .option(
      "--data-path-addr <addr>",
      "address or interface for traffic between containers (default: advertised)",
    );
}

/** As the requests of all three name them. */
export function hostAddresses({ listenAddr, advertiseAddr, dataPathAddr }: HostFlags) {
  return {
    listenAddress: listenAddr ?? "",
    advertiseAddress: advertiseAddr ?? "",
    dataPathAddress: dataPathAddr ?? "",
  };
}
