/**
 * Encryption between hosts: one WireGuard link per host, on which the VXLAN device of encrypted networks stands. A peer may
 * send under its one address of the link and no other, so that nothing here changes with tasks. The kernel's module is
 * used where there is one, else `wireguard-go`.
 *
 * One thing is done at a time. Between changes the picture in memory is trusted; after an error, and for a repair, what
 * stands is read. What is right is not touched. No private key is in a log line, an error, an argument or a variable of
 * the environment: `wg` reads it from a file on a tmpfs, for root alone, which is there for that moment.
 */
import { createSocket } from "node:dgram";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findProgram } from "#agent/container/find-program.ts";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import type { Ports } from "#proto/ports.ts";
import { encryptedAddress, encryptionDevice, encryptionOverheadBytes } from "./addresses.ts";
import { announce } from "./announced-key.ts";
import type { Encryption, EncryptionLink, EncryptionNode, EncryptionState } from "./encryption.ts";
import { HostKeys } from "./host-keys.ts";
import { type EncryptionNews, KeyRotation } from "./key-rotation.ts";
import { type EncryptionPicture, type Handshakes, wantedPicture } from "./link-picture.ts";
import { type LinkStep, planLink } from "./link-plan.ts";
import { readLink } from "./link-reader.ts";
import { UserSpaceLink } from "./user-space-link.ts";

export interface WireGuardOptions {
  /** What must survive a reboot: the host's key. */
  readonly dataRoot: string;
  readonly runRoot: string;
  /** Of wireguard-go; none: this program's own. */
  readonly supervisorCgroups?: readonly string[];
}

export interface WireGuardModules extends Ports {
  readonly exec: Exec;
}

/** Who carries the packets. */
type Carrier = "kernel" | "user-space" | "none";

const unavailable =
  "this host has neither WireGuard in its kernel nor wireguard-go: install the packages wireguard-tools and wireguard-go";

/** RFC 863. Nobody needs to listen: the handshake comes before the datagram. */
const discardPort = 9;

/** A process that ends again and again is not started all the time. */
const healPauseMs = 2_000;

export class WireGuard implements Encryption, Disposable {
  readonly #folder: string;
  readonly #modules: WireGuardModules;
  readonly #keys: HostKeys;
  readonly #carrier: Carrier;
  readonly #process: UserSpaceLink;
  readonly #rotation: KeyRotation;
  readonly #listeners = new Set<() => void>();
  #state: EncryptionState | undefined;
  /** What stands; undefined: it is to be looked at first. */
  #actual: { readonly picture: EncryptionPicture; readonly handshakes: Handshakes } | undefined;
  #lane: Promise<unknown> = Promise.resolve();
  #healing: Disposable | undefined;
  #healedAtMs = -healPauseMs;
  #disposed = false;

  static async open(options: WireGuardOptions, modules: WireGuardModules): Promise<WireGuard> {
    const keys = await HostKeys.open(join(options.dataRoot, "agent/encryption/keys.json"), modules);
    const carrier = await findCarrier(modules);
    const folder = join(options.runRoot, "encryption");
    const { supervisorCgroups: cgroups = [] } = options;
    return new WireGuard({ folder, keys, carrier, cgroups }, modules);
  }

  /** For `open`. */
  constructor(
    {
      folder,
      keys,
      carrier,
      cgroups,
    }: { folder: string; keys: HostKeys; carrier: Carrier; cgroups: readonly string[] },
    modules: WireGuardModules,
  ) {
    this.#folder = folder;
    this.#modules = modules;
    this.#keys = keys;
    this.#carrier = carrier;
    this.#process = new UserSpaceLink({ ...modules, cgroups, onDeath: () => this.#onDeath() });
    this.#rotation = new KeyRotation({
      ...modules,
      keys,
      peers: () => this.#state?.peers.length ?? 0,
      onAnnouncement: () => this.#announce(),
      changeOver: () => this.#inLane(() => this.#converge()),
    });
  }

  get publicKey(): string {
    return this.#carrier === "none" ? "" : announce(this.#keys);
  }

  /** Tells each time that `publicKey` is another one, until disposed. */
  watch(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  onNews(news: EncryptionNews): void {
    if (this.#carrier !== "none") this.#rotation.onNews(news);
  }

  async apply(state: EncryptionState): Promise<EncryptionLink | undefined> {
    if (state.wanted && this.#carrier === "none") {
      throw new Fault("failed-precondition", `Cannot carry encrypted networks: ${unavailable}`);
    }
    this.#state = state;
    await this.#inLane(() => this.#converge());
    if (!state.wanted) return undefined;
    return {
      device: encryptionDevice,
      address: encryptedAddress(state.self.number),
      mtu: state.underlayMtu - encryptionOverheadBytes,
    };
  }

  async repair(): Promise<void> {
    if (this.#state === undefined) return;
    await this.#inLane(async () => {
      // Where nothing is wanted, there was a look when that began.
      if (this.#state?.wanted === true) this.#actual = undefined;
      await this.#converge();
    });
  }

  /** Lets go of the link, which stays. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#healing?.[Symbol.dispose]();
    this.#rotation[Symbol.dispose]();
    this.#process.release();
  }

  #announce(): void {
    for (const listener of this.#listeners) listener();
  }

  #inLane<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#lane.then(work);
    this.#lane = done.catch(() => undefined);
    return done;
  }

  /** At once, unless it has just been done. */
  #onDeath(): void {
    if (this.#disposed) return;
    const { clock, log } = this.#modules;
    log.warn("wireguard-go has ended; encrypted networks stand still until it runs again");
    const restMs = Math.max(0, this.#healedAtMs + healPauseMs - clock.monotonic());
    this.#healing = clock.timer(restMs, () => void this.#heal());
  }

  /** What fails is tried again with the next repair. */
  async #heal(): Promise<void> {
    const { clock, log } = this.#modules;
    this.#healedAtMs = clock.monotonic();
    try {
      await this.repair();
    } catch (thrown) {
      const error = Fault.from(thrown).message;
      log.error("encrypted networks stand still", { error });
    }
  }

  async #converge(): Promise<void> {
    try {
      await this.#attemptConverge();
    } catch (thrown) {
      // Something of ours was changed behind our back: the second attempt starts from what is there.
      const reason = Fault.from(thrown).message;
      this.#modules.log.warn("looking at the encrypted link anew", { reason });
      await this.#attemptConverge();
    }
  }

  async #attemptConverge(): Promise<void> {
    const state = this.#state;
    if (state === undefined || this.#disposed) return;
    try {
      this.#actual ??= await this.#look();
      const { picture, handshakes } = this.#actual;
      const wanted = wantedPicture(state, this.#keys.inUse.publicKey, handshakes);
      for (const step of planLink(picture, wanted)) await this.#perform(step);
      this.#actual = { picture: wanted, handshakes };
      if (picture.link === undefined && state.wanted) await knock(state.peers);
    } catch (thrown) {
      this.#actual = undefined;
      throw Fault.wrap("Cannot set up the encrypted link", thrown);
    }
  }

  async #look() {
    const seen = await readLink(this.#modules.exec);
    if (seen.picture.link === undefined || this.#carrier !== "user-space") return seen;
    if (await this.#process.hold()) return seen;
    return { ...seen, picture: { ...seen.picture, link: undefined, remains: true } };
  }

  async #perform(step: LinkStep): Promise<void> {
    const { exec } = this.#modules;
    switch (step.kind) {
      case "make":
        if (this.#carrier === "user-space") return await this.#process.start();
        await exec.run("ip", ["link", "add", encryptionDevice, "type", "wireguard"]);
        return;
      case "remove":
        this.#process.release();
        await exec.run("ip", ["link", "del", encryptionDevice]);
        return;
      case "ip":
        await exec.run("ip", ["-batch", "-"], { input: `${step.lines.join("\n")}\n` });
        return;
      case "wg":
        return await this.#set(step.args, step.keyed);
    }
  }

  async #set(args: readonly string[], keyed: boolean): Promise<void> {
    const { exec } = this.#modules;
    if (!keyed) {
      await exec.run("wg", ["set", encryptionDevice, ...args]);
      return;
    }
    const file = join(this.#folder, "private-key");
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    try {
      await writeFile(file, `${this.#keys.inUse.privateKey}\n`, { mode: 0o600 });
      await exec.run("wg", ["set", encryptionDevice, "private-key", file, ...args]);
    } finally {
      await rm(file, { force: true });
    }
  }
}

async function findCarrier({ exec, log }: WireGuardModules): Promise<Carrier> {
  try {
    findProgram("wg", "the tool of encrypted networks", "wireguard-tools");
    if (await isInKernel(exec)) return "kernel";
    findProgram("wireguard-go", "the kernel's WireGuard, nor", "wireguard-go");
    return "user-space";
  } catch (thrown) {
    log.info("this host carries no encrypted networks", { reason: Fault.from(thrown).message });
    return "none";
  }
}

/** The kernel loads its module when it is asked for a link. */
async function isInKernel(exec: Exec): Promise<boolean> {
  const probe = "sw-wg-probe";
  // It fails, too, where an earlier swarmd was killed before it took its own away.
  await exec.run("ip", ["link", "add", probe, "type", "wireguard"]).catch(() => undefined);
  return await exec.run("ip", ["link", "del", probe]).then(
    () => true,
    () => false,
  );
}

/**
 * Has a link that is new shake hands with every peer. One that knew it before would else send by keys that are gone, for 15
 * seconds, until it wonders at the silence.
 */
async function knock(peers: readonly Pick<EncryptionNode, "number">[]): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("error", () => {});
  socket.unref();
  const knocks = peers.map(({ number }) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.send(Buffer.alloc(1), discardPort, encryptedAddress(number), () => resolve());
    return promise;
  });
  await Promise.all(knocks);
  socket.close();
}
