/**
 * The first process of a container that asks for one (`--init`): tini, which passes signals on and reaps what the
 * container's own programs leave behind. The static build, for an image may have another C library or none.
 */
import type { OciMount } from "./mounts.ts";

/** Of the Debian package "tini". */
export const initProgramName = "tini-static";

const pathInContainer = "/sbin/swarm-init";

export function initMount(program: string): OciMount {
  return {
    destination: pathInContainer,
    type: "bind",
    source: program,
    options: ["bind", "rprivate", "ro"],
  };
}

/** Among the host's processes it is not the first one: it has to ask for the orphans ("-s"). */
export function withInit(args: readonly string[], pidMode: string): readonly string[] {
  return [pathInContainer, ...(pidMode === "host" ? ["-s"] : []), "--", ...args];
}
