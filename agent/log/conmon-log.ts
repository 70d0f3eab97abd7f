/**
 * What conmon is told of a task's log. It writes to the task's folder for every driver but "none", so that containers log
 * on while this program is away and never wait for who reads; the journal it serves itself, beside that.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type LogDriver, parseLogDriver } from "#proto/log-driver.ts";
import { expandTag } from "./log-tag.ts";

/** The driver of a task: its service's, or else the one that the cluster had when the task was made. */
export function logDriverOf(task: Pick<Task, "spec" | "logDriver">): LogDriver {
  return parseLogDriver(task.spec?.logDriver ?? task.logDriver);
}

export function conmonLogFlags(task: Task): readonly string[] {
  const driver = logDriverOf(task);
  if (driver.name === "none") return ["--log-path", "none"];
  // Somebody who is there begins a new file much earlier; this bounds the disk while nobody is.
  const sizeBytes = driver.fileBytesMax * driver.files;
  const file = ["--log-path", "k8s-file:log", "--log-size-max", `${sizeBytes}`];
  if (driver.name !== "journald") return file;
  return [...file, "--log-path", "journald:", "--log-tag", expandTag(driver.tag, task)];
}
