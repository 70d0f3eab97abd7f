/** Hosts on a LAN, in namespaces, with nothing but their encryption. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Namespace } from "../../testing/namespace.ts";
import type { EncryptionNode, EncryptionState } from "../encryption.ts";
import type { EncryptionAnswer, EncryptionCall } from "./encryption-process.ts";

export class EncryptedHost {
  readonly number: number;
  readonly namespace: Namespace;
  /** What it announces, as peers shall hear it. */
  key = "";
  /** Told each time that it announces other keys. */
  onAnnounced: (key: string) => void = () => {};
  #agent: ChildProcess | undefined;

  constructor(number: number, namespace: Namespace) {
    this.number = number;
    this.namespace = namespace;
  }

  get address(): string {
    return `172.31.98.${this.number}`;
  }

  get innerAddress(): string {
    return `169.254.64.${this.number}`;
  }

  get node(): EncryptionNode {
    const { number, address, key } = this;
    return { id: `node${number}`, number, address, encryptionKey: key };
  }

  async start(): Promise<void> {
    const path = fileURLToPath(new URL("encryption-process.ts", import.meta.url));
    const agent = this.namespace.start(process.execPath, [path], "ipc");
    this.#agent = agent;
    await once(agent, "message", { signal: AbortSignal.timeout(15_000) });
    agent.on("message", (message: EncryptionAnswer) => {
      if (message.kind === "announced") this.onAnnounced(message.key);
    });
    this.key = String((await this.call({ kind: "key" })).value);
  }

  /** As `kill -9` does. */
  async kill(): Promise<void> {
    assert(this.#agent !== undefined);
    const closed = once(this.#agent, "close");
    this.#agent.kill("SIGKILL");
    await closed;
  }

  async call(call: EncryptionCall): Promise<Extract<EncryptionAnswer, { kind: "done" }>> {
    const agent = this.#agent;
    assert(agent !== undefined);
    const signal = AbortSignal.timeout(20_000);
    agent.send(call);
    for (;;) {
      const [answer]: EncryptionAnswer[] = await once(agent, "message", { signal });
      if (answer?.kind === "failed") assert.fail(answer.message);
      if (answer?.kind === "done") return answer;
    }
  }

  /** The number of the wireguard-go that carries its link; undefined: none does. */
  async process(): Promise<number | undefined> {
    const filter = ["-xlpH", "src", "/var/run/wireguard/sw-wg0.sock"];
    const { stdout } = await this.namespace.run("ss", filter);
    const pid = /"wireguard-go",pid=(\d+)/.exec(stdout)?.[1];
    return pid === undefined ? undefined : Number(pid);
  }

  /** What `wg` shows, without the private key. */
  async dump(): Promise<readonly (readonly string[])[]> {
    const { stdout } = await this.namespace.run("wg", ["show", "sw-wg0", "dump"]);
    const [own = [], ...peers] = stdout
      .trim()
      .split("\n")
      .map((line) => line.split("\t"));
    return [own.slice(1), ...peers];
  }
}

export class EncryptedHosts implements AsyncDisposable {
  readonly lan: Namespace;
  readonly all: readonly EncryptedHost[];
  readonly #stack: AsyncDisposableStack;

  static async open(count: number): Promise<EncryptedHosts> {
    await using stack = new AsyncDisposableStack();
    const lan = stack.use(await Namespace.open());
    await lan.batch(["link add lan0 type bridge forward_delay 0", "link set lan0 up"]);
    const all: EncryptedHost[] = [];
    for (let number = 1; number <= count; number += 1) {
      const host = new EncryptedHost(number, stack.use(await Namespace.open()));
      await lan.batch([
        `link add h${number} type veth peer name eth0 netns ${host.namespace.pid}`,
        `link set h${number} master lan0 up`,
      ]);
      await host.namespace.batch([`addr add ${host.address}/24 dev eth0`, "link set eth0 up"]);
      all.push(host);
    }
    await Promise.all(all.map((host) => host.start()));
    return new EncryptedHosts(lan, all, stack.move());
  }

  constructor(lan: Namespace, all: readonly EncryptedHost[], stack: AsyncDisposableStack) {
    this.lan = lan;
    this.all = all;
    this.#stack = stack;
  }

  state(self: EncryptedHost, wanted = true): EncryptionState {
    const peers = this.all.filter((host) => host !== self).map(({ node }) => node);
    return { self: self.node, peers, wanted, underlayMtu: 1500 };
  }

  async apply(): Promise<void> {
    for (const host of this.all) await host.call({ kind: "apply", state: this.state(host) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
