/**
 * What a container's spec must look like, as far as it can be said without knowing the image or the node. What only
 * these can tell, a task reports as its error. Pure.
 */
import { isIP } from "node:net";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { DnsConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseSignal } from "#proto/stop-signal.ts";
import { isTemplate } from "#proto/template.ts";
import { parseRegistryAuth } from "#registry/credentials.ts";
import { parseReference } from "#registry/reference.ts";
import { checkAbsolutePath, checkDuration, checkRange, invalid, parsed } from "./field.ts";
import { checkHealth } from "./validate-health.ts";
import { checkMounts } from "./validate-mounts.ts";
import { checkPrivileges } from "./validate-privileges.ts";

const hostnamePattern = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/;

export function checkContainer(path: string, container: ContainerSpec): void {
  checkProgram(path, container);
  checkNames(path, container);
  checkPrivileges(path, container);
  checkRange(`${path}.pids_limit`, container.pidsLimit, { min: 0n, max: 1n << 22n });
  checkRange(`${path}.shm_size_bytes`, container.shmSizeBytes, { min: 0n });
  checkRange(`${path}.oom_score_adj`, container.oomScoreAdj, { min: -1000n, max: 1000n });
  checkMounts(`${path}.mounts`, container.mounts);
  if (container.healthcheck !== undefined) {
    checkHealth(`${path}.healthcheck`, container.healthcheck);
  }
}

function checkProgram(path: string, container: ContainerSpec): void {
  const { image, env, dir, user, groups, stopSignal } = container;
  if (image === "") throw invalid(`${path}.image`, 'is empty: name one, such as "nginx:1.27"');
  parsed(`${path}.image`, () => parseReference(image));
  const login = container.pullOptions?.registryAuth ?? "";
  if (login !== "") parsed(`${path}.pull_options.registry_auth`, () => parseRegistryAuth(login));
  for (const [index, entry] of env.entries()) checkEnv(`${path}.env[${index}]`, entry);
  for (const [index, argument] of [...container.command, ...container.args].entries()) {
    if (argument.includes("\0")) {
      throw invalid(`${path}.command`, `has a NUL character in argument ${index + 1}`);
    }
  }
  if (dir !== "") checkAbsolutePath(`${path}.dir`, dir);
  if (user !== "") checkWord(`${path}.user`, user);
  for (const [index, group] of groups.entries()) checkWord(`${path}.groups[${index}]`, group);
  if (stopSignal !== "") parsed(`${path}.stop_signal`, () => parseSignal(stopSignal));
  checkDuration(`${path}.stop_grace_period`, container.stopGracePeriod);
  checkDuration(`${path}.stop_delay`, container.stopDelay);
}

function checkEnv(path: string, entry: string): void {
  if (!/^[^=\0]+=/.test(entry) || entry.includes("\0")) {
    throw invalid(path, `"${entry}" is not of the form NAME=value`);
  }
}

function checkNames(path: string, { hostname, hosts, dnsConfig }: ContainerSpec): void {
  if (hostname !== "" && !isTemplate(hostname) && !hostnamePattern.test(hostname)) {
    throw invalid(`${path}.hostname`, `"${hostname}" is not a DNS label`);
  }
  for (const [index, line] of hosts.entries()) {
    const [address = "", ...names] = line.split(" ");
    if (isIP(address) !== 0 && names.length > 0 && names.every(isWord)) continue;
    throw invalid(`${path}.hosts[${index}]`, `"${line}" is not of the form "IP NAME…"`);
  }
  if (dnsConfig !== undefined) checkDns(`${path}.dns_config`, dnsConfig);
}

function checkDns(path: string, { nameservers, search, options }: DnsConfig): void {
  for (const [index, address] of nameservers.entries()) {
    if (isIP(address) !== 0) continue;
    throw invalid(`${path}.nameservers[${index}]`, `"${address}" is not an IP address`);
  }
  for (const [index, domain] of search.entries()) checkWord(`${path}.search[${index}]`, domain);
  for (const [index, option] of options.entries()) checkWord(`${path}.options[${index}]`, option);
}

function checkWord(path: string, word: string): void {
  if (!isWord(word)) throw invalid(path, `"${word}" is empty or contains white space`);
}

function isWord(text: string): boolean {
  return /^[^\s\0]+$/.test(text);
}
