/**
 * A lab: virtual hosts on this machine, the LAN between them, a registry on it. Everything that a lab is stands in its
 * folder and in the kernel, nothing in the memory of who made it: any process can open a lab, and a lab whose maker died
 * half-way can be taken down.
 */
import { randomBytes } from "node:crypto";
import { rmdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errnoOf, Fault } from "#proto/fault.ts";
import { Box } from "./box.ts";
import type { EnsureOptions } from "./cache.ts";
import { removeCgroups } from "./cgroups.ts";
import { formCluster } from "./cluster.ts";
import { Host } from "./host.ts";
import { Janitor } from "./janitor.ts";
import {
  boxFolders,
  claimFolder,
  hostBoxOptions,
  labFolder,
  labsRoot,
  lanBoxOptions,
  type LabSettings,
  parseLabName,
  planHosts,
  readSettings,
  settingsPath,
  writeFolder,
} from "./lab-folder.ts";
import { Lan } from "./lan.ts";
import { ensureImage, type ImageName, repositoryTag } from "./registry/images.ts";
import { Registry } from "./registry/registry.ts";
import { together } from "./together.ts";

export interface LabOptions {
  readonly name?: string;
  /** Default 1. */
  readonly managers?: number;
  /** Default 0. */
  readonly workers?: number;
  /** What the registry serves; default busybox alone, which is quick to build. */
  readonly images?: readonly ImageName[];
  /** Whether swarmd runs on the hosts and they are one cluster; default true. */
  readonly cluster?: boolean;
  /** Whether the lab is taken down when this process ends, by whatever means; default false. */
  readonly ownedByThisProcess?: boolean;
  readonly signal?: AbortSignal;
  /** Told in plain words what happens next. */
  readonly onStep?: (step: string) => void;
}

export const labNameDefault = "lab";

const mainProgram = fileURLToPath(new URL("main.ts", import.meta.url));

export class Lab implements AsyncDisposable {
  readonly name: string;
  readonly hosts: readonly Host[];
  readonly lan: Lan;
  readonly registry: Registry;
  readonly #id: string;
  #janitor: Janitor | undefined;

  /** Makes a lab; when it cannot, nothing of it stays. */
  static async up(options: LabOptions): Promise<Lab> {
    const name = parseLabName(options.name ?? labNameDefault);
    const hosts = planHosts(options.managers ?? 1, options.workers ?? 0);
    if (process.getuid?.() !== 0) {
      throw new Fault("permission-denied", "only root can make namespaces: run this as root");
    }
    const settings = { id: randomBytes(8).toString("hex"), hosts };
    claimFolder(name);
    const down = ["down", "--name", name, "--id", settings.id];
    const janitor = new Janitor([process.execPath, mainProgram, ...down]);
    try {
      writeFolder(name, settings);
      const lab = new Lab(name, settings);
      await lab.#boot(options);
      if (options.ownedByThisProcess === true) lab.#janitor = janitor;
      else await janitor.dismiss();
      return lab;
    } catch (thrown) {
      await Lab.down(name, settings.id);
      await janitor.dismiss();
      throw Fault.wrap(`Cannot bring up the lab "${name}"`, thrown);
    }
  }

  /** A lab that somebody made. */
  static open(name: string = labNameDefault): Lab {
    const settings = readSettings(parseLabName(name));
    if (settings !== undefined) return new Lab(name, settings);
    const hint = 'bring it up with "lab up --managers 1 --workers 2"';
    throw new Fault("not-found", `there is no lab "${name}": ${hint}`);
  }

  /**
   * Removes a lab, whole, half-made or crashed, with everything it has. Does nothing where there is none, or where `id`
   * says that another one has the name by now.
   */
  static async down(name: string, id?: string): Promise<void> {
    const settings = readSettings(parseLabName(name));
    if (id !== undefined && settings !== undefined && settings.id !== id) return;
    // First of all: a box that is just being made sees that it is gone and ends by itself.
    rmSync(settingsPath(name), { force: true });
    const names = boxFolders(name);
    const boxes = names.map((box) => new Box(hostBoxOptions(name, box)));
    await Promise.all(boxes.map((box) => box.kill()));
    await removeCgroups(name);
    rmSync(labFolder(name), { recursive: true, force: true });
    try {
      rmdirSync(labsRoot());
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (errno !== "ENOTEMPTY" && errno !== "ENOENT") throw thrown;
    }
  }

  /** For `up` and `open`: a lab that is there. */
  constructor(name: string, settings: LabSettings) {
    this.name = name;
    this.#id = settings.id;
    this.lan = new Lan(lanBoxOptions(name));
    this.registry = new Registry(this.lan.box);
    this.hosts = settings.hosts.map((host) => {
      const options = { ...host, lab: name, box: hostBoxOptions(name, host.name) };
      return new Host(options, { lan: this.lan });
    });
  }

  host(name: string): Host {
    const host = this.hosts.find((candidate) => candidate.name === name);
    if (host !== undefined) return host;
    const known = this.hosts.map((candidate) => candidate.name).join(", ");
    throw new Fault("not-found", `there is no host "${name}": the hosts are ${known}`);
  }

  /** Separates these hosts from all others and from the registry; among themselves they still talk. */
  async cut(...names: readonly string[]): Promise<void> {
    await this.lan.cut(this.#running(names));
  }

  /** Undoes `cut`, for these hosts or, without names, for all. */
  async heal(...names: readonly string[]): Promise<void> {
    const cut = [...(await this.lan.cutOff())];
    await this.lan.heal(names.length === 0 ? cut : this.#running(names));
  }

  /** Builds a test image if need be, and puts it into the registry. */
  async pushImage(name: ImageName, options: EnsureOptions = {}): Promise<void> {
    const layout = await ensureImage(name, options);
    await this.registry.push(layout, repositoryTag(name), options.signal);
  }

  async down(): Promise<void> {
    await Lab.down(this.name, this.#id);
    await this.#janitor?.dismiss();
    this.#janitor = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }

  async #boot(options: LabOptions): Promise<void> {
    const { signal, onStep } = options;
    onStep?.(`booting ${this.hosts.map((host) => host.name).join(", ")}`);
    const lan = Promise.withResolvers<void>();
    lan.promise.catch(() => {}); // who waits for it is told; nobody may be waiting
    const bootLan = (aborted: AbortSignal) =>
      this.lan.boot(aborted).then(lan.resolve, (thrown: unknown) => {
        lan.reject(thrown);
        throw thrown;
      });
    const boots = this.hosts.map(
      (host) => (aborted: AbortSignal) => host.boot(aborted, lan.promise),
    );
    await together([bootLan, ...boots], signal);
    const images = options.images ?? ["busybox"];
    const serve = (aborted: AbortSignal) =>
      this.#serveImages(images, { ...options, signal: aborted });
    const form = (aborted: AbortSignal) => formCluster(this.hosts, { ...options, signal: aborted });
    await together(options.cluster === false ? [serve] : [serve, form], signal);
  }

  async #serveImages(images: readonly ImageName[], options: LabOptions): Promise<void> {
    await this.registry.start(options.signal);
    for (const image of images) {
      await this.pushImage(image, options);
      options.onStep?.(`the registry serves registry:5000/${repositoryTag(image)}`);
    }
  }

  #running(names: readonly string[]): readonly string[] {
    for (const name of names) {
      const host = this.host(name);
      if (host.box.init === undefined) {
        throw new Fault("failed-precondition", `"${host.name}" does not run: start it first`);
      }
    }
    return names;
  }
}
