/** What planning a container needs to know of its host, looked up once where it does not change. */
import { existsSync } from "node:fs";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { loadDefaultProfile, type ProfileModules } from "./apparmor.ts";
import { type HostDevice, readHostDevices } from "./devices.ts";
import { findProgram } from "./find-program.ts";
import { type HostLimits, readHostLimits } from "./host-limits.ts";
import { type HostSecurity, readHostSecurity } from "./host-security.ts";
import { initProgramName } from "./init-process.ts";

export interface HostFacts {
  readonly limits: HostLimits;
  readonly security: HostSecurity;
  readonly cgroupVersion: 1 | 2;
  /** AppArmor's profile for containers that name none, where it is loaded. */
  readonly apparmorProfile: string | undefined;
  /** Those of the host that the container asks for. */
  readonly devices: readonly HostDevice[];
  /** The program that reaps and passes signals on, where the container asks for it. */
  readonly initProgram: string | undefined;
}

export class ContainerHost {
  readonly #modules: ProfileModules;
  readonly #limits = readHostLimits();
  readonly #security = readHostSecurity();
  readonly #cgroupVersion = existsSync("/sys/fs/cgroup/cgroup.controllers") ? 2 : 1;
  #profile: Promise<string | undefined> | undefined;

  constructor(modules: ProfileModules) {
    this.#modules = modules;
  }

  /** A Fault names what the container asks for and this host has not. */
  async factsFor(spec: ContainerSpec | undefined): Promise<HostFacts> {
    const init = spec?.init === true;
    return {
      limits: this.#limits,
      security: this.#security,
      cgroupVersion: this.#cgroupVersion,
      apparmorProfile: await this.#defaultProfile(),
      devices: spec === undefined ? [] : await readHostDevices(spec),
      initProgram: init ? findProgram(initProgramName, "the init process", "tini") : undefined,
    };
  }

  #defaultProfile(): Promise<string | undefined> {
    if (!this.#security.apparmor) return Promise.resolve(undefined);
    this.#profile ??= loadDefaultProfile(this.#modules);
    return this.#profile;
  }
}
