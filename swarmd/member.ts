/**
 * This host as a node of a cluster: its engine, its certificate, and, on a manager, the manager process.
 *
 * What a crash may interrupt is ordered so that the next start goes on from what is on disk:
 *
 *     promotion   the certificate says manager, node.json says manager, the manager starts, joining where it has no log
 *     demotion    the manager has ended, node.json says worker, the log is removed, the certificate says worker
 *
 * node.json decides whether a manager runs. A certificate that says otherwise is renewed as soon as a session tells what
 * the node shall be. A log beside a node.json that says worker is what a demotion left, and is removed.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import type { SessionResponse } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { ManagerStart, TlsIdentity } from "#proto/manager-messages.ts";
import type { Ports } from "#proto/ports.ts";
import { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import { parseUnlockKey } from "#proto/unlock-key.ts";
import { CertificateRenewer } from "./certificate-renewer.ts";
import { CertificateFiles } from "./certificates.ts";
import type { Config } from "./config.ts";
import { Engine } from "./engine.ts";
import { type Identity, type Role, writeIdentity } from "./identity.ts";
import { roleOf } from "./issued-identity.ts";
import { compileCache, hasManagerData, managerArgs, managerRoot } from "./manager-files.ts";
import { ManagerProcess } from "./manager-process.ts";
import { misfitOf, type NodeNews, wantedRole } from "./node-news.ts";
import { renewCertificate } from "./renew-certificate.ts";

/** A new manager fetches the whole state before it serves. */
const joinMs = 120_000;

/** What a host has that has just become a node; one that was one before finds it on disk. */
export interface NewMember {
  readonly tls: TlsIdentity;
  /** That made the cluster. */
  readonly manager?: ManagerProcess;
}

export class Member implements AsyncDisposable {
  #config: Config;
  readonly #ports: Ports;
  readonly #certificates: CertificateFiles;
  readonly #opened = Promise.withResolvers<TlsIdentityHolder>();
  #identity: Identity;
  #holder: TlsIdentityHolder | undefined;
  #engine: Engine | undefined;
  #manager: ManagerProcess | undefined;
  #renewer: CertificateRenewer | undefined;
  /** What the node's key on disk is sealed with; empty: nothing. */
  #unlockKey = "";
  #locked = false;
  /** Of a host that was locked when it started. */
  #lockedCertificate: string | undefined;
  /** Why the certificate on disk cannot be used. */
  #problem = "";
  #news: NodeNews = {};
  #leaving = false;
  /** Changes of the files and of the role, one after the other. */
  #lane: Promise<void> = Promise.resolve();

  /** For `enter` and `resume`. */
  constructor(identity: Identity, config: Config, ports: Ports) {
    this.#identity = identity;
    this.#config = config;
    this.#ports = ports;
    this.#certificates = new CertificateFiles(join(config.dataRoot, "certificates"), ports.random);
  }

  /** Remembers who this host is now, and runs as that; who cannot run is nobody again. */
  static async enter(
    identity: Identity,
    { tls, manager }: NewMember,
    { config, ports }: { config: Config; ports: Ports },
  ): Promise<Member> {
    const member = new Member(identity, config, ports);
    try {
      member.#unlockKey = manager?.unlockKey ?? "";
      await member.#certificates.write(tls, member.#unlockKey);
      await member.#save();
      member.#open(tls);
      if (manager !== undefined) member.#adopt(manager);
      else await member.#startManager()?.ready;
      // Last: no container starts on a host that may be nobody again.
      await member.#openEngine();
      return member;
    } catch (thrown) {
      await member.#undo();
      throw thrown;
    }
  }

  /** After a start of the daemon. Waits neither for managers nor for the own one: what runs here is supervised first. */
  static async resume(identity: Identity, config: Config, ports: Ports): Promise<Member> {
    const member = new Member(identity, config, ports);
    try {
      const tls = await member.#certificates.read();
      if (tls === "locked") {
        member.#locked = true;
        member.#lockedCertificate = await member.#certificates.readCertificate();
      } else member.#open(tls);
    } catch (thrown) {
      member.#problem = Fault.from(thrown).message;
      ports.log.error(member.#problem);
    }
    if (identity.role === "worker") await member.#removeManagerData();
    else if (!member.#locked) member.#startManager();
    await member.#openEngine();
    return member;
  }

  get identity(): Identity {
    return this.#identity;
  }

  get locked(): boolean {
    return this.#locked;
  }

  /** PEM. */
  get certificate(): string | undefined {
    return this.#holder?.current.certificate ?? this.#lockedCertificate;
  }

  get managers(): readonly string[] {
    return this.#engine?.managers ?? this.#identity.managers;
  }

  get connected(): boolean {
    return this.#engine?.session.state === "connected";
  }

  /** In one line, for those who look at this host's services. */
  get status(): string {
    const { role, clusterId } = this.#identity;
    const session = this.#engine?.session;
    const manager = session?.state === "connected" ? `session with ${session.manager}` : this.error;
    const containers = `${this.#engine?.runningCount ?? 0} containers run`;
    return [`${role} of cluster ${clusterId}`, containers, manager, this.managerError]
      .filter((words) => words !== "")
      .join("; ");
  }

  /** What the engine does not come to an end with. */
  get standstill(): string | undefined {
    return this.#engine?.standstill;
  }

  /** Why there is no session, or what else is wrong. */
  get error(): string {
    if (this.#locked) {
      return 'the manager is locked: give it the unlock key with "swarmctl cluster unlock"';
    }
    const session = this.#engine?.session;
    const ofSession = session?.state === "connecting" ? session.error : "";
    return this.#problem || (this.#renewer?.problem ?? ofSession);
  }

  /** Why the manager ended, while it does not serve again; such as a log that is damaged. */
  get managerError(): string {
    return this.#manager?.problem ?? "";
  }

  /** Tells managers that this host shuts down. */
  async farewell(): Promise<void> {
    await this.#engine?.farewell();
  }

  /** What differs is what a reload may change: see reload.ts. */
  configure(config: Config): void {
    this.#config = config;
    this.#engine?.configure(config);
    this.#manager?.configure(managerArgs(config, this.#identity));
  }

  /** See Worker.endWithHost. */
  async endContainers(mostMs: number): Promise<void> {
    await this.#engine?.endContainers(mostMs);
  }

  /** Opens what the unlock key has locked, and starts the manager. */
  async unlock(unlockKey: string): Promise<void> {
    if (!this.#locked) throw new Fault("failed-precondition", "this host's manager is not locked");
    parseUnlockKey(unlockKey);
    const wrong = new Fault(
      "permission-denied",
      "the unlock key is wrong; if it was changed shortly before this host went down, the one before it may still hold here: give that first, then the new one",
    );
    if (this.#holder === undefined) {
      const tls = await this.#certificates.read(unlockKey);
      if (tls === "locked") throw wrong;
      this.#unlockKey = unlockKey;
      this.#open(tls);
    }
    this.#locked = false;
    const manager = this.#startManager({ unlockKey });
    try {
      await manager?.ready;
    } catch (thrown) {
      if (Fault.from(thrown).code === "permission-denied") throw wrong;
      throw Fault.wrap("the key is right, but the manager does not start", thrown);
    }
    // By now the manager may have told another key than the one that opened its log.
    const newest = manager?.unlockKey ?? unlockKey;
    await this.#inLane("seal the node's key", () => this.#seal(newest));
  }

  /** The manager goes on alone with what its log holds, at these addresses. */
  async forceNewCluster(
    addresses: Pick<Identity, "listenAddress" | "advertiseAddress">,
  ): Promise<void> {
    if (this.#locked) throw new Fault("failed-precondition", this.error);
    if (this.#identity.role !== "manager" || !hasManagerData(this.#config)) {
      throw new Fault(
        "failed-precondition",
        "this host has no manager's data to go on with: do this on a host that is a manager",
      );
    }
    await this.#stopManager();
    this.#identity = { ...this.#identity, ...addresses, managers: [addresses.advertiseAddress] };
    await this.#save();
    let forced = false;
    const manager = this.#startManager({
      start: () => ({ how: forced ? "resume" : "force-new-cluster" }),
    });
    try {
      await manager?.ready;
      forced = true;
    } catch (thrown) {
      // What failed is not tried on behind the user's back.
      await this.#stopManager();
      this.#startManager();
      throw thrown;
    }
  }

  /** Whatever ran here is gone when this resolves; one that fails can be called again. */
  async leave(): Promise<void> {
    this.#leaving = true;
    await this.#renewer?.[Symbol.asyncDispose]();
    await this.#stopManager();
    await this.#lane;
    await this.#engine?.clear();
    await this.#forget();
  }

  /** Lets go: the containers go on running. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#leaving = true;
    await this.#renewer?.[Symbol.asyncDispose]();
    await this.#engine?.[Symbol.asyncDispose]();
    await this.#stopManager();
    await this.#lane;
  }

  async #openEngine(): Promise<void> {
    this.#engine = await Engine.open(this.#config, this.#identity, {
      ...this.#ports,
      identity: this.#opened.promise,
      onNews: (news) => this.#onNews(news),
    });
  }

  /** The certificate can be used from now on. */
  #open(tls: TlsIdentity): void {
    const holder = new TlsIdentityHolder(tls);
    this.#holder = holder;
    this.#problem = "";
    this.#renewer = new CertificateRenewer(
      {
        identity: holder,
        misfit: (identity) => misfitOf(identity, this.#news, this.#identity.role),
        renew: (signal) => this.#renew(holder, signal),
      },
      { ...this.#ports, log: this.#ports.log.child({ part: "certificate" }) },
    );
    this.#opened.resolve(holder);
  }

  async #renew(identity: TlsIdentityHolder, signal: AbortSignal): Promise<void> {
    const { nodeId, clusterId } = this.#identity;
    const managers = this.#managersToAsk();
    const renewed = await renewCertificate({ identity, nodeId, clusterId, managers }, signal);
    await this.#inLane("keep the new certificate", async () => {
      await this.#certificates.write(renewed, this.#unlockKey);
      identity.replace(renewed);
      this.#manager?.replaceIdentity(renewed);
      await this.#settleRole();
    });
  }

  /** First the one that told this node what it shall be: it knows. The others in any order. */
  #managersToAsk(): readonly string[] {
    const session = this.#engine?.session;
    const first = session?.state === "connected" ? [session.manager] : [];
    const others = this.managers.filter((manager) => !first.includes(manager));
    return [...first, ...shuffled(others, this.#ports)];
  }

  #onNews({ node, wantedTls, managers }: SessionResponse): void {
    this.#news = {
      ...(node !== undefined && { node }),
      ...(wantedTls !== undefined && { wantedTls }),
    };
    void this.#inLane("follow the managers' news", async () => {
      if (managers.length > 0 && !sameSet(this.#identity.managers, managers)) {
        this.#identity = { ...this.#identity, managers };
        await this.#save();
      }
      await this.#settleRole();
      this.#renewer?.look();
    });
  }

  /** Makes this host what the managers want it to be, as far as its certificate says so, too. */
  async #settleRole(): Promise<void> {
    if (this.#leaving || this.#holder === undefined) return;
    const { role } = this.#identity;
    const wanted = wantedRole(this.#news, role);
    if (wanted === role) return;
    if (wanted === "worker") await this.#demote();
    else if (roleOf(this.#holder.current) === "manager") await this.#promote();
  }

  async #promote(): Promise<void> {
    this.#ports.log.info("this node becomes a manager");
    await this.#removeManagerData();
    await this.#changeRole("manager");
    this.#startManager();
  }

  async #demote(): Promise<void> {
    this.#ports.log.info("this node is no manager any more");
    await this.#stopManager();
    await this.#changeRole("worker");
    await this.#removeManagerData();
    // Its next start must not ask for the managers' key.
    this.#locked = false;
    await this.#seal("");
  }

  async #changeRole(role: Role): Promise<void> {
    this.#identity = { ...this.#identity, role };
    await this.#save();
  }

  /** Undefined: no manager belongs here. `unlockKey`: to open its log with. */
  #startManager({
    start = () => this.#ownStart(),
    unlockKey = this.#unlockKey,
  }: {
    readonly start?: () => ManagerStart;
    readonly unlockKey?: string;
  } = {}): ManagerProcess | undefined {
    const identity = this.#holder?.current;
    if (identity === undefined || this.#identity.role !== "manager") return undefined;
    const manager = new ManagerProcess(
      {
        args: managerArgs(this.#config, this.#identity),
        compileCache: compileCache(this.#config),
        start,
        identity,
        unlockKey,
        ...(start().how === "join" && { readyMs: joinMs }),
      },
      { clock: this.#ports.clock, log: this.#ports.log.child({ part: "manager" }) },
    );
    // Who waits for it hears of it; supervision tells of it in any case.
    manager.ready.catch(() => undefined);
    this.#adopt(manager);
    return manager;
  }

  #ownStart(): ManagerStart {
    if (hasManagerData(this.#config)) return { how: "resume" };
    const { advertiseAddress } = this.#identity;
    const others = this.managers.filter((address) => address !== advertiseAddress);
    return { how: "join", managers: others };
  }

  #adopt(manager: ManagerProcess): void {
    this.#manager = manager;
    manager.onUnlockKey((unlockKey) => {
      void this.#inLane("protect the node's key", () => this.#seal(unlockKey));
    });
    void manager.ended.then((end) => {
      if (this.#manager !== manager) return;
      if (end === "locked") this.#locked = true;
      if (end === "stopped") return;
      this.#manager = undefined;
      this.#ports.log.warn(`the manager has ended: it is ${end}`);
      if (end === "removed") this.#onRemoved();
    });
  }

  /** What the managers said of this node before holds no more: the next session tells. */
  #onRemoved(): void {
    this.#news = {};
    void this.#inLane("be a worker", () => (this.#leaving ? Promise.resolve() : this.#demote()));
  }

  async #stopManager(): Promise<void> {
    const manager = this.#manager;
    this.#manager = undefined;
    await manager?.[Symbol.asyncDispose]();
  }

  async #seal(unlockKey: string): Promise<void> {
    const tls = this.#holder?.current;
    if (tls === undefined) return;
    // A worker has nothing that locks itself.
    const sealing = this.#identity.role === "manager" ? unlockKey : "";
    await this.#certificates.write(tls, sealing);
    this.#unlockKey = sealing;
  }

  /** What cannot be done is told, and keeps nothing that comes after it from being done. */
  #inLane(what: string, work: () => Promise<void>): Promise<void> {
    const done = this.#lane.then(work);
    this.#lane = done.catch((thrown: unknown) => {
      this.#ports.log.error(`Cannot ${what}`, { error: Fault.from(thrown).message });
    });
    return done;
  }

  async #removeManagerData(): Promise<void> {
    await rm(managerRoot(this.#config), { recursive: true, force: true });
  }

  async #save(): Promise<void> {
    await writeIdentity(identityPath(this.#config), this.#identity);
  }

  async #undo(): Promise<void> {
    await this[Symbol.asyncDispose]();
    await this.#forget();
  }

  /** node.json comes last: as long as it is there, leaving can be repeated. */
  async #forget(): Promise<void> {
    await this.#removeManagerData();
    await this.#certificates.remove();
    await rm(identityPath(this.#config), { force: true });
  }
}

export function identityPath(config: Config): string {
  return join(config.dataRoot, "node.json");
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.toSorted().join() === b.toSorted().join();
}

function shuffled<T>(items: readonly T[], { random }: Pick<Ports, "random">): T[] {
  const keyed = items.map((item) => ({ item, key: random.int(1_000_000) }));
  return keyed.toSorted((a, b) => a.key - b.key).map(({ item }) => item);
}
