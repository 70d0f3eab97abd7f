/** What a service's containers are, for people: the main things, as Docker's, and what a task may use of its node. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type ContainerSpec,
  ContainerSpecSchema,
  type TaskSpec,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Mount, MountType, type Resources } from "#proto/gen/swarm/v1/types_pb.ts";
import { create } from "@bufbuild/protobuf";
import { msFromDuration } from "#proto/time.ts";
import { formatMemory } from "../output/size.ts";
import { type Line, optional, section } from "./pretty-lines.ts";
import { imageOf } from "./words.ts";

export function containerLines({ spec }: Service): Line[] {
  const runtime = spec?.task?.runtime;
  const container = runtime?.case === "container" ? runtime.value : create(ContainerSpecSchema);
  const { command, args, env, dir, user, init } = container;
  return [
    [0, "ContainerSpec"],
    [1, "Image", imageOf(spec)],
    ...optional(1, "Command", command.join(" ")),
    ...optional(1, "Args", args.join(" ")),
    ...optional(1, "Init", init === undefined ? "" : String(init)),
    ...optional(1, "Env", env.join(" ")),
    ...optional(1, "Dir", dir),
    ...optional(1, "User", user),
    ...optional(1, "Add capabilities", container.capabilityAdd.join(", ")),
    ...optional(1, "Drop capabilities", container.capabilityDrop.join(", ")),
    ...fileLines(container),
    ...section("Log Driver", logLines(spec?.task)),
    ...section("Resources", resourceLines(spec?.task)),
    ...section("Healthcheck", healthLines(container)),
  ];
}

const mountWords: Readonly<Record<MountType, string>> = {
  [MountType.BIND]: "bind",
  [MountType.VOLUME]: "volume",
  [MountType.TMPFS]: "tmpfs",
  [MountType.NPIPE]: "npipe",
  [MountType.CLUSTER]: "cluster",
};

function fileLines({ mounts, secrets, configs }: ContainerSpec): Line[] {
  return [
    ...section(
      "Mounts",
      mounts.map((mount): Line => [1, mount.target, mountWord(mount)]),
    ),
    ...section(
      "Secrets",
      secrets.map(({ secretName, file }): Line => [1, file?.name || secretName, secretName]),
    ),
    ...section(
      "Configs",
      configs.map(({ configName, file }): Line => [1, file?.name || configName, configName]),
    ),
  ];
}

function mountWord({ type, source, readOnly }: Mount): string {
  return [mountWords[type], source, ...(readOnly ? ["read-only"] : [])].filter(Boolean).join(", ");
}

function logLines(task: TaskSpec | undefined): Line[] {
  const { name = "", options = {} } = task?.logDriver ?? {};
  const words = Object.entries(options).map(([key, value]) => `${key}=${value}`);
  return [...optional(1, "Name", name), ...optional(1, "LogOpts", words.join(", "))];
}

function resourceLines(task: TaskSpec | undefined): Line[] {
  const { limits, reservations } = task?.resources ?? {};
  return [
    ...optional(1, "Reservations", resourceWord(reservations)),
    ...optional(1, "Limits", resourceWord(limits)),
  ];
}

function resourceWord(resources: Resources | undefined): string {
  const { nanoCpus = 0n, memoryBytes = 0n, generic = [] } = resources ?? {};
  const kinds = generic.map(
    ({ resource }) => `${resource.value?.kind ?? ""}=${resource.value?.value ?? ""}`,
  );
  return [
    ...(nanoCpus === 0n ? [] : [`${Number(nanoCpus) / 1e9} CPU`]),
    ...(memoryBytes === 0n ? [] : [`${formatMemory(Number(memoryBytes))} memory`]),
    ...kinds,
  ].join(", ");
}

function healthLines({ healthcheck }: ContainerSpec): Line[] {
  if (healthcheck === undefined) return [];
  const { test, interval, timeout, retries, startPeriod } = healthcheck;
  const seconds = (duration: typeof interval) =>
    duration === undefined ? "" : `${msFromDuration(duration, 0) / 1000}s`;
  return [
    ...optional(1, "Test", test.join(" ")),
    ...optional(1, "Interval", seconds(interval)),
    ...optional(1, "Timeout", seconds(timeout)),
    ...optional(1, "Retries", retries === 0 ? "" : `${retries}`),
    ...optional(1, "Start period", seconds(startPeriod)),
  ];
}
