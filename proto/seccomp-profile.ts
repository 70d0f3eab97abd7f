/**
 * Seccomp profiles as Docker's users write them (JSON; OCI's format with Docker's conditions and map of architectures).
 * Managers refuse a broken one when it comes, agents turn it into what the runtime takes. Keys that are not known are
 * refused: a filter that is wider than its author thinks is worse than none. Pure.
 */
import { Fault } from "./fault.ts";

export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  /** Where it is not empty, the entry of the host's own architecture says for which ones the filter is made. */
  readonly archMap: readonly ArchMapEntry[];
  /** The same for all hosts; empty: the host's own. */
  readonly architectures: readonly string[];
  readonly flags: readonly string[];
  readonly rules: readonly SeccompRule[];
}

interface ArchMapEntry {
  readonly architecture: string;
  readonly subArchitectures: readonly string[];
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  /** All must hold. */
  readonly args: readonly SeccompArg[];
  /** The rule is there only where all of this is so. */
  readonly includes: SeccompCondition;
  /** The rule is not there where any of this is so. */
  readonly excludes: SeccompCondition;
}

export interface SeccompArg {
  readonly index: number;
  readonly value: number;
  /** With SCMP_CMP_MASKED_EQ: `(argument & value) == valueTwo`. */
  readonly valueTwo: number;
  readonly op: string;
}

export interface SeccompCondition {
  /** As OCI images name them: amd64, arm64, … */
  readonly arches?: readonly string[];
  /** With "CAP_". */
  readonly caps?: readonly string[];
  /** "5.10" */
  readonly minKernel?: string;
}

const actions = "KILL KILL_PROCESS KILL_THREAD TRAP ERRNO TRACE ALLOW LOG"
  .split(" ")
  .map((name) => `SCMP_ACT_${name}`);

const operators = "NE LT LE EQ GE GT MASKED_EQ".split(" ").map((name) => `SCMP_CMP_${name}`);

const architectures = [
  "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32",
  "PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64 LOONGARCH64",
]
  .join(" ")
  .split(" ")
  .map((name) => `SCMP_ARCH_${name}`);

const flags = "TSYNC LOG SPEC_ALLOW".split(" ").map((name) => `SECCOMP_FILTER_FLAG_${name}`);

const errnoMax = 4095;

/** A Fault names the place in the profile and what is wrong there. */
export function parseSeccompProfile(bytes: Uint8Array): SeccompProfile {
  const top = mapOf("the profile", parseJson(bytes), [
    "comment",
    "defaultAction",
    "defaultErrnoRet",
    "archMap",
    "architectures",
    "flags",
    "syscalls",
  ]);
  const defaultErrnoRet = errnoOf("defaultErrnoRet", top["defaultErrnoRet"]);
  const profile = {
    defaultAction: wordOf("defaultAction", top["defaultAction"], actions),
    ...(defaultErrnoRet !== undefined && { defaultErrnoRet }),
    archMap: listOf("archMap", top["archMap"]).map(parseArchMapEntry),
    architectures: wordsOf("architectures", top["architectures"], architectures),
    flags: wordsOf("flags", top["flags"], flags),
    rules: listOf("syscalls", top["syscalls"]).map(parseRule),
  };
  if (profile.archMap.length > 0 && profile.architectures.length > 0) {
    throw refusal("the profile", "has both archMap and architectures: keep one of them");
  }
  return profile;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw refusal("the profile", `is not JSON: ${reason}`);
  }
}

function parseArchMapEntry(value: unknown, index: number): ArchMapEntry {
  const path = `archMap[${index}]`;
  const entry = mapOf(path, value, ["architecture", "subArchitectures"]);
  return {
    architecture: wordOf(`${path}.architecture`, entry["architecture"], architectures),
    subArchitectures: wordsOf(`${path}.subArchitectures`, entry["subArchitectures"], architectures),
  };
}

function parseRule(value: unknown, index: number): SeccompRule {
  const path = `syscalls[${index}]`;
  const rule = mapOf(path, value, [
    "comment",
    "name",
    "names",
    "action",
    "errnoRet",
    "args",
    "includes",
    "excludes",
  ]);
  const { name } = rule;
  const names = wordsOf(`${path}.names`, rule["names"]);
  if (name !== undefined) names.push(wordOf(`${path}.name`, name));
  if (names.length === 0) throw refusal(path, "names no system call");
  const errnoRet = errnoOf(`${path}.errnoRet`, rule["errnoRet"]);
  return {
    names,
    action: wordOf(`${path}.action`, rule["action"], actions),
    ...(errnoRet !== undefined && { errnoRet }),
    args: listOf(`${path}.args`, rule["args"]).map((arg, at) =>
      parseArg(`${path}.args[${at}]`, arg),
    ),
    includes: parseCondition(`${path}.includes`, rule["includes"]),
    excludes: parseCondition(`${path}.excludes`, rule["excludes"]),
  };
}

function parseArg(path: string, value: unknown): SeccompArg {
  const arg = mapOf(path, value, ["index", "value", "valueTwo", "op"]);
  return {
    index: numberOf(`${path}.index`, arg["index"], 5),
    value: numberOf(`${path}.value`, arg["value"]),
    valueTwo: arg["valueTwo"] === undefined ? 0 : numberOf(`${path}.valueTwo`, arg["valueTwo"]),
    op: wordOf(`${path}.op`, arg["op"], operators),
  };
}

function parseCondition(path: string, value: unknown): SeccompCondition {
  if (value === undefined || value === null) return {};
  const condition = mapOf(path, value, ["arches", "caps", "minKernel"]);
  const { minKernel } = condition;
  const version = minKernel === undefined ? undefined : wordOf(`${path}.minKernel`, minKernel);
  if (version !== undefined && !/^\d{1,4}\.\d{1,4}$/.test(version)) {
    throw refusal(`${path}.minKernel`, 'is not the version of a kernel, such as "5.10"');
  }
  return {
    arches: wordsOf(`${path}.arches`, condition["arches"]),
    caps: wordsOf(`${path}.caps`, condition["caps"]),
    ...(version !== undefined && { minKernel: version }),
  };
}

type Json = Readonly<Record<string, unknown>>;

function mapOf(path: string, value: unknown, known: readonly string[]): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refusal(path, "is not an object");
  }
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw refusal(path, `has "${unknown}", which is not known here`);
  return { ...value };
}

/** Go's encoder writes null for an empty list. */
function listOf(path: string, value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw refusal(path, "is not a list");
  return value;
}

function wordsOf(path: string, value: unknown, known?: readonly string[]): string[] {
  return listOf(path, value).map((word, index) => wordOf(`${path}[${index}]`, word, known));
}

function wordOf(path: string, value: unknown, known?: readonly string[]): string {
  if (typeof value !== "string" || value === "") throw refusal(path, "is not a word");
  if (known === undefined || known.includes(value)) return value;
  throw refusal(path, `is "${value}": use one of ${known.join(", ")}`);
}

function errnoOf(path: string, value: unknown): number | undefined {
  return value === undefined || value === null ? undefined : numberOf(path, value, errnoMax);
}

function numberOf(path: string, value: unknown, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max) {
    return value;
  }
  throw refusal(path, `is not a whole number from 0 to ${max}`);
}

function refusal(path: string, problem: string): Fault {
  return new Fault("invalid-argument", `seccomp profile: ${path} ${problem}`);
}
