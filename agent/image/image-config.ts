/**
 * The image configuration (OCI image-spec, config.md): what its author wants of a container that runs it, and the
 * digests of its unpacked layers. Bytes to typed values; pure.
 */
import { Fault } from "#proto/fault.ts";
import type { ImageHealthcheck } from "../health/health-check.ts";
import { parseDigest } from "#registry/digest.ts";
import {
  parseCount,
  parseEntries,
  parseJson,
  parseList,
  parseObject,
  parseOptional,
  parseText,
} from "#registry/foreign-json.ts";

export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  /** "NAME=value" each. */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** Empty where the image does not say. */
  readonly workingDir: string;
  /** "user", "uid", "user:group", "uid:gid"; empty for root. */
  readonly user: string;
  /** "SIGTERM" or a number; empty where the image does not say. */
  readonly stopSignal: string;
  /** What Docker's HEALTHCHECK and SHELL say, which OCI has no word for and hands on. */
  readonly healthcheck?: ImageHealthcheck;
  readonly shell: readonly string[];
  /** "80/tcp" each. */
  readonly exposedPorts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** Absolute paths inside the container. */
  readonly volumes: readonly string[];
  /** RFC 3339; empty where the image does not say. */
  readonly created: string;
  /** Digests of the layers' tar streams, uncompressed, base first. */
  readonly diffIds: readonly string[];
}

/** What containerd allows. Real ones have some kilobytes. */
export const imageConfigBytesMax = 8 * 1024 * 1024;

export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const document = parseObject(parseJson(bytes), "the image config");
  const config = parseOptional(document["config"], "config", parseObject) ?? {};
  const rootfs = parseObject(document["rootfs"], "rootfs");
  const text = (key: string) => parseOptional(config[key], `config.${key}`, parseText) ?? "";
  const texts = (key: string) => parseList(config[key], `config.${key}`, parseText);
  const healthcheck = parseOptional(config["Healthcheck"], "config.Healthcheck", parseHealthcheck);
  const keys = (key: string) => parseEntries(config[key], `config.${key}`).map(([name]) => name);
  return {
    os: parseText(document["os"], "os"),
    architecture: parseText(document["architecture"], "architecture"),
    env: texts("Env").map(checkVariable),
    entrypoint: texts("Entrypoint"),
    cmd: texts("Cmd"),
    workingDir: text("WorkingDir"),
    user: text("User"),
    stopSignal: text("StopSignal"),
    ...(healthcheck === undefined ? {} : { healthcheck }),
    shell: texts("Shell"),
    exposedPorts: keys("ExposedPorts"),
    labels: Object.fromEntries(
      parseEntries(config["Labels"], "config.Labels").map(([name, value]) => [
        name,
        parseText(value, `config.Labels.${name}`),
      ]),
    ),
    volumes: keys("Volumes"),
    created: parseOptional(document["created"], "created", parseText) ?? "",
    diffIds: parseList(rootfs["diff_ids"], "rootfs.diff_ids", parseDiffId),
  };
}

/** Times are in nanoseconds; what is left out is 0. */
function parseHealthcheck(value: unknown, where: string): ImageHealthcheck {
  const fields = parseObject(value, where);
  const count = (key: string) => parseOptional(fields[key], `${where}.${key}`, parseCount) ?? 0;
  return {
    test: parseList(fields["Test"], `${where}.Test`, parseText),
    intervalMs: count("Interval") / 1e6,
    timeoutMs: count("Timeout") / 1e6,
    retries: count("Retries"),
    startPeriodMs: count("StartPeriod") / 1e6,
    startIntervalMs: count("StartInterval") / 1e6,
  };
}

function checkVariable(variable: string): string {
  if (variable.indexOf("=") > 0 && !variable.includes("\0")) return variable;
  throw new Fault(
    "failed-precondition",
    `config.Env has ${JSON.stringify(variable.slice(0, 40))}, which is not NAME=value`,
  );
}

function parseDiffId(value: unknown, where: string): string {
  try {
    return parseDigest(parseText(value, where));
  } catch (error) {
    throw new Fault("failed-precondition", `${where}: ${Fault.from(error).message}`);
  }
}
