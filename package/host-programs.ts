/** What agents call at run time, as package/check-host.sh asks for it: one table for that and for what the .deb depends on. */

export interface HostProgram {
  readonly debianPackage: string;
  /** Undefined: any. */
  readonly version?: string;
  readonly needed: boolean;
}

/** Those that every Debian has: a package that depends on them says so to nobody's use. */
const essential = new Set(["bash", "coreutils", "findutils", "grep", "util-linux"]);

/** `checkHost`: the script. One entry for each package. */
export function hostPrograms(checkHost: string): readonly HostProgram[] {
  const row = /^\S+ +(\S+) +([\d.]+|-) +(need|want) {2}\S/gm;
  const found = new Map<string, HostProgram>();
  for (const [, debianPackage = "", version = "-", word] of checkHost.matchAll(row)) {
    if (essential.has(debianPackage)) continue;
    const needed = word === "need" || found.get(debianPackage)?.needed === true;
    const asked = version === "-" ? found.get(debianPackage)?.version : version;
    found.set(debianPackage, {
      debianPackage,
      needed,
      ...(asked === undefined ? {} : { version: asked }),
    });
  }
  return [...found.values()];
}
