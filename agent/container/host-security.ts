/** What this host's kernel has to confine containers with. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { ociArchitecture } from "../node-description.ts";
import type { SeccompFacts } from "./seccomp.ts";

export interface HostSecurity extends SeccompFacts {
  readonly apparmor: boolean;
  readonly selinux: boolean;
  /** Files that tell how warm each processor is: a way to watch what other containers do. */
  readonly thermalPaths: readonly string[];
}

/** `root` is where the host's file system begins. */
export function readHostSecurity(root = "/"): HostSecurity {
  const read = (path: string) => {
    const file = join(root, path);
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  };
  const cpus = "/sys/devices/system/cpu";
  const names = existsSync(join(root, cpus)) ? readdirSync(join(root, cpus)) : [];
  return {
    architecture: ociArchitecture(),
    kernel: release(),
    seccomp: /^Seccomp:/m.test(read("/proc/self/status")),
    apparmor: read("/sys/module/apparmor/parameters/enabled").startsWith("Y"),
    selinux: existsSync(join(root, "/sys/fs/selinux/enforce")),
    thermalPaths: names
      .filter((name) => /^cpu\d+$/.test(name))
      .map((name) => `${cpus}/${name}/thermal_throttle`)
      .filter((path) => existsSync(join(root, path))),
  };
}
