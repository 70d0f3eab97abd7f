/**
 * Managers of one group in one process: real logs on real files, that speak gRPC with mutual TLS over loopback connections
 * which a test can break. Their state is a list of what was applied.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Endpoint, serveEndpoint } from "#proto/endpoint.ts";
import { RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import { idLength } from "#proto/ids.ts";
import { addService, Connection } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { until } from "#proto/testing/until.ts";
import type { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import { createStorage, openStorage, type RaftStorage } from "../../log/raft-storage.ts";
import type { LogEntry, Rejection, StateMachine } from "../../store/log.ts";
import { joinGroup } from "../join.ts";
import { contextOf } from "../member.ts";
import { RaftLog, type RaftLogOptions } from "../raft-log.ts";
import { raftHandlers } from "../raft-service.ts";
import { TestNetwork } from "./test-network.ts";

const keyEncryption = { kind: "file" } as const;
const ports = { clock: systemClock, random: systemRandom, log: silentLog };

export function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}

/** Remembers what was applied, in order. */
export class ListMachine implements StateMachine {
  texts: string[] = [];
  restores = 0;
  /** Gets the entries too, and says what becomes of them. */
  inner: StateMachine | undefined;
  #index = 0n;

  apply(entry: LogEntry): Rejection {
    const { index, data } = entry;
    if (index <= this.#index) throw new Error(`entry ${index} came after ${this.#index}`);
    this.#index = index;
    this.texts.push(Buffer.from(data).toString());
    return this.inner?.apply(entry);
  }

  snapshot(): Iterable<Uint8Array> {
    return this.texts.slice().map((text) => Buffer.from(text));
  }

  async restore(
    index: bigint,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const texts: string[] = [];
    for await (const piece of pieces) texts.push(Buffer.from(piece).toString());
    this.#index = index;
    this.restores += 1;
    this.texts = texts;
  }
}

export interface TestGroupOptions {
  /** How many there may be. */
  readonly managers: number;
  readonly log?: Omit<RaftLogOptions, "address">;
  /** Where a manager's log is, if not in the group's folder. */
  readonly pathOf?: (number: number) => string | undefined;
}

export class TestMember {
  readonly number: number;
  readonly nodeId: string;
  readonly path: string;
  readonly #group: TestGroup;
  readonly identity: TlsIdentityHolder;
  address = "127.0.0.1:0";
  machine = new ListMachine();
  #endpoint: Endpoint | undefined;
  #log: RaftLog | undefined;

  constructor(number: number, group: TestGroup, identity: TlsIdentityHolder) {
    this.number = number;
    this.nodeId = nodeIdOf(number);
    this.path = group.options.pathOf?.(number) ?? join(group.folder, `${number}`, "log.db");
    this.#group = group;
    this.identity = identity;
  }

  get log(): RaftLog {
    if (this.#log === undefined) throw new Error(`manager ${this.number} does not run`);
    return this.#log;
  }

  get running(): boolean {
    return this.#log !== undefined;
  }

  /** Serves; without a log at first. */
  async serve(): Promise<void> {
    const { authority, network } = this.#group;
    const tls = { identity: this.identity, clusterId: authority.clusterId };
    this.#endpoint = await serveEndpoint(
      this.address,
      {
        tls,
        addServices: (server) =>
          addService(
            server,
            RaftService,
            raftHandlers(() => this.#log),
          ),
        owner: "manager",
      },
      ports,
    );
    this.address = this.#endpoint.address;
    network.serve(this.number, Number(this.address.split(":")[1]));
    network.setAll(this.number, "open");
  }

  async found(): Promise<void> {
    await this.serve();
    const context = contextOf(this);
    const member = { id: this.#group.serverId(this.number), voter: true, context };
    const snapshot = { index: 0, term: 0, membership: { members: [member], removed: [] } };
    const life = { group: "group", serverId: member.id };
    const file = { path: this.path, keyEncryption };
    await this.open(await createStorage({ ...file, ...life, snapshot }, ports));
  }

  /** Through any of the managers that run. */
  async join(): Promise<void> {
    await this.serve();
    const managers = this.#group.members.filter(({ running }) => running).map((m) => m.address);
    const connect = (address: string) => this.connect(address);
    const options = { managers, address: this.address };
    const { group, id, membership } = await joinGroup(options, { ...ports, connect });
    const snapshot = { index: 0, term: 0, membership };
    const life = { group, serverId: id };
    const file = { path: this.path, keyEncryption };
    await this.open(await createStorage({ ...file, ...life, snapshot }, ports));
  }

  /** With what is on its disk. */
  async start(): Promise<void> {
    await this.serve();
    await this.open(await openStorage({ path: this.path, keyEncryption }, ports));
  }

  async open(storage: RaftStorage): Promise<void> {
    this.machine = new ListMachine();
    const connect = (address: string, nodeId?: string) => this.connect(address, nodeId);
    const options = { ...this.#group.options.log, address: this.address };
    const log = await RaftLog.open(options, {
      ...ports,
      storage,
      machine: this.machine,
      connect,
    });
    void log.failed.then((fault) => this.#group.faults.push(fault));
    this.#log = log;
  }

  connect(address: string, nodeId?: string): Connection {
    const { authority, network, members } = this.#group;
    const to = members.find((member) => member.address === address);
    const reached = to === undefined ? address : network.address(this.number, to.number);
    const tls = {
      kind: "mutual",
      identity: this.identity,
      clusterId: authority.clusterId,
      ...(nodeId === undefined ? {} : { nodeId }),
    } as const;
    return new Connection(reached, { tls });
  }

  /** Loses its disk. */
  forget(): void {
    rmSync(dirname(this.path), { recursive: true });
  }

  /** As when the process ends at once: nobody hears of it any more. */
  async kill(): Promise<void> {
    this.#group.network.setAll(this.number, "refused");
    await this.stop();
  }

  /** A clean stop. */
  async stop(): Promise<void> {
    const log = this.#log;
    await log?.[Symbol.asyncDispose]();
    this.#log = undefined;
    await this.#endpoint?.[Symbol.asyncDispose]();
    this.#endpoint = undefined;
  }
}

export class TestGroup implements AsyncDisposable {
  readonly options: TestGroupOptions;
  readonly folder = mkdtempSync(join(tmpdir(), "swarm-group-"));
  readonly authority: TestAuthority;
  readonly network: TestNetwork;
  members: TestMember[] = [];
  /** Of logs that failed. */
  readonly faults: unknown[] = [];

  constructor(options: TestGroupOptions, authority: TestAuthority, network: TestNetwork) {
    this.options = options;
    this.authority = authority;
    this.network = network;
  }

  /** The first `running` of them form a group. */
  static async start(options: TestGroupOptions, running = options.managers): Promise<TestGroup> {
    const authority = await TestAuthority.create();
    const network = await TestNetwork.create(options.managers);
    const group = new TestGroup(options, authority, network);
    for (let number = 0; number < options.managers; number++) {
      const identity = await authority.holder({ role: "manager", name: nodeIdOf(number) });
      group.members.push(new TestMember(number, group, identity));
    }
    for (const member of group.members.slice(0, running)) {
      if (member.number === 0) await member.found();
      else await member.join();
    }
    await group.voters(running);
    return group;
  }

  serverId(number: number): number {
    return 2 ** 50 + number;
  }

  member(number: number): TestMember {
    const member = this.members[number];
    if (member === undefined) throw new Error(`there is no manager ${number}`);
    return member;
  }

  get running(): TestMember[] {
    return this.members.filter(({ running }) => running);
  }

  /** The one that leads. */
  async leader(among: () => readonly TestMember[] = () => this.running): Promise<TestMember> {
    const find = () => among().find((member) => member.running && member.log.leading);
    await until(() => find() !== undefined, 15_000);
    const leader = find();
    if (leader === undefined) throw new Error("it led only for a moment");
    return leader;
  }

  async followers(): Promise<TestMember[]> {
    const leader = await this.leader();
    return this.running.filter((member) => member !== leader);
  }

  /** Waits until so many vote, and the leader says so. */
  async voters(count: number, clock: Clock = systemClock): Promise<void> {
    const endMs = clock.monotonic() + 15_000;
    for (;;) {
      const leader = await this.leader();
      const members = await leader.log.members();
      if (members.filter(({ member }) => member?.voter === true).length === count) return;
      if (clock.monotonic() > endMs) throw new Error(`there are not ${count} voters`);
      await clock.sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { number } of this.members) this.network.setAll(number, "refused");
    await Promise.all(this.members.map((member) => member.stop()));
    this.network[Symbol.dispose]();
    rmSync(this.folder, { recursive: true });
    if (this.faults.length > 0) throw this.faults[0];
  }
}

function nodeIdOf(number: number): string {
  return `node${number}`.padEnd(idLength, "x");
}
