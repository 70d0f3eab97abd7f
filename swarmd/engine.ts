/**
 * The container engine of a node that belongs to a cluster: images, networks, DNS, tasks, and the agent that drives them
 * by what managers say. Opening it adopts what runs; disposing of it lets go, and containers go on running.
 */
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Agent, type SessionState } from "#agent/agent.ts";
import { AssignedFile } from "#agent/assigned-file.ts";
import { DnsServer } from "#agent/dns/dns-server.ts";
import { systemExec } from "#agent/exec.ts";
import { ImageStore } from "#agent/image/image-store.ts";
import { NetworkDriver } from "#agent/network/network-driver.ts";
import { describeNode, ociArchitecture } from "#agent/node-description.ts";
import { Reporter } from "#agent/reporter.ts";
import { Worker } from "#agent/worker.ts";
import { PeerSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Ports } from "#proto/ports.ts";
import type { Config } from "./config.ts";
import type { Identity } from "./identity.ts";

export interface EngineModules extends Ports {
  readonly onManagers: (managers: readonly string[]) => void;
}

export class Engine implements AsyncDisposable {
  readonly #agent: Agent;
  readonly #stopping = new AbortController();
  readonly #parts: AsyncDisposableStack;
  readonly #running: Promise<void>;

  /** For `open`. */
  constructor(agent: Agent, parts: AsyncDisposableStack) {
    this.#agent = agent;
    this.#parts = parts;
    this.#running = agent.run(this.#stopping.signal);
  }

  static async open(config: Config, identity: Identity, modules: EngineModules): Promise<Engine> {
    await using opened = new AsyncDisposableStack();
    const { log } = modules;
    const images = opened.use(
      await ImageStore.open(
        {
          root: join(config.dataRoot, "agent/image"),
          insecureRegistries: config.insecureRegistries,
          platform: { os: "linux", architecture: ociArchitecture() },
        },
        { ...modules, exec: systemExec, log: log.child({ part: "image" }) },
      ),
    );
    const network = await NetworkDriver.open(
      { runRoot: config.runRoot },
      { exec: systemExec, log: log.child({ part: "network" }) },
    );
    const dns = opened.use(new DnsServer({}, { ...modules, log: log.child({ part: "dns" }) }));
    const memory = opened.use(
      new AssignedFile({ path: join(config.dataRoot, "agent/assigned.bin") }, modules),
    );
    const reporter = new Reporter();
    const worker = opened.use(
      await Worker.open(
        {
          stateRoot: join(config.dataRoot, "agent"),
          runRoot: config.runRoot,
          cgroupParent: config.cgroupParent,
          runtime: "runc",
        },
        {
          ...modules,
          exec: systemExec,
          images,
          network,
          report: (taskId, status) => reporter.report(taskId, status),
          log: log.child({ part: "worker" }),
        },
      ),
    );
    const agent = new Agent(agentOptions(identity), {
      ...modules,
      describe: () => describeNode({ dataPathAddress: identity.dataPathAddress }),
      network,
      dns,
      memory,
      worker,
      reporter,
      log: log.child({ part: "agent" }),
    });
    return new Engine(agent, opened.move());
  }

  get session(): SessionState {
    return this.#agent.session;
  }

  get managers(): readonly string[] {
    return this.#agent.managers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#parts.disposeAsync();
  }
}

function agentOptions(identity: Identity) {
  const { nodeId, nodeSecret, number, dataPathAddress, managers } = identity;
  return {
    managers,
    credentials: { nodeId, nodeSecret },
    self: create(PeerSchema, { nodeId, number, dataPathAddress, addresses: [dataPathAddress] }),
  };
}
