/**
 * Which of an image's platforms runs on a host, best first, by containerd's rules (github.com/containerd/platforms): a
 * newer processor also runs what is for an older one of its kind, amd64 also 386, arm64 also arm. Pure.
 */

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** Other names of architectures, and the variant that some of them mean. */
const aliases: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ["amd64"],
  "x86-64": ["amd64"],
  i386: ["386"],
  aarch64: ["arm64"],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};

/** What no variant means. */
const variantDefaults: Readonly<Record<string, string>> = { amd64: "v1", arm64: "v8", arm: "v7" };

/** The oldest that there is. */
const variantFirst: Readonly<Record<string, number>> = { amd64: 1, arm64: 8, arm: 5 };

/** How well the platform suits the host: 0 is best, undefined does not run. */
export function rankPlatform(offered: Platform, host: Platform): number | undefined {
  if (offered.os !== host.os) return undefined;
  const has = normal(offered);
  const runnable = runnableOn(normal(host));
  const found = runnable.findIndex(
    ({ architecture, variant }) => architecture === has.architecture && variant === has.variant,
  );
  if (found >= 0) return found;
  // Of kinds without an order of variants, anything may be right; what names none, first.
  const isOther = variantFirst[has.architecture] === undefined;
  return isOther && has.architecture === normal(host).architecture ? runnable.length : undefined;
}

interface Kind {
  readonly architecture: string;
  readonly variant: string;
}

function runnableOn({ architecture, variant }: Kind): readonly Kind[] {
  const first = variantFirst[architecture];
  if (first === undefined) return [{ architecture, variant }];
  const newest = /^v([0-9]+)/.exec(variant)?.[1];
  const others = compatible(architecture);
  if (newest !== undefined) return [...downFrom(architecture, Number(newest)), ...others];
  // A variant that nobody knows runs what is for itself, and what is for everyone.
  return [{ architecture, variant }, ...downFrom(architecture, first), ...others];
}

function compatible(architecture: string): readonly Kind[] {
  if (architecture === "amd64") return [{ architecture: "386", variant: "" }];
  return architecture === "arm64" ? downFrom("arm", 8) : [];
}

function downFrom(architecture: string, newest: number): Kind[] {
  const first = variantFirst[architecture] ?? 0;
  return Array.from({ length: Math.max(0, newest - first + 1) }, (_, index) => ({
    architecture,
    variant: `v${newest - index}`,
  }));
}

function normal({ architecture: name, variant: given }: Platform): Kind {
  const [architecture, implied] = aliases[name.toLowerCase()] ?? [name.toLowerCase()];
  const variant = (given || implied || variantDefaults[architecture] || "").toLowerCase();
  return { architecture, variant: /^[0-9]/.test(variant) ? `v${variant}` : variant };
}

/** The levels of x86-64 (psABI), by the flags that each adds as Linux names them. */
const amd64Levels: readonly (readonly string[])[] = [
  ["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"],
  ["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"],
  ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
];

/** The variant of this host's processor, from /proc/cpuinfo; undefined where that does not tell. */
export function variantOf(architecture: string, cpuinfo: string): string | undefined {
  const field = (name: string) => new RegExp(`^${name}\\s*: *(.*)$`, "m").exec(cpuinfo)?.[1];
  if (architecture === "amd64") {
    const flags = new Set((field("flags") ?? "").split(" "));
    const missing = amd64Levels.findIndex((level) => !level.every((flag) => flags.has(flag)));
    return `v${(missing < 0 ? amd64Levels.length : missing) + 1}`;
  }
  if (architecture !== "arm") return undefined;
  // The first Raspberry Pi says 7 and is a 6.
  if (field("model name")?.startsWith("ARMv6") === true) return "v6";
  const version = /^[5-8]/.exec(field("CPU architecture") ?? "")?.[0];
  return version === undefined ? undefined : `v${version}`;
}
