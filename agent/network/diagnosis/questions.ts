/** What a diagnosis asks the kernel. Each answer is looked up at the moment: nothing here trusts what is remembered. */
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import { vethName } from "../attachment.ts";
import { isRecord, type JsonObject, parseRecords, text } from "../tool-output.ts";
import { isText6 } from "../subnet.ts";

/** How long a task's peer may take to answer. */
const connectSeconds = 2;

export interface Interface {
  readonly device: string;
  readonly up: boolean;
  readonly addresses: readonly string[];
}

export interface Route {
  readonly device: string;
  /** Empty: the address is on the device itself. */
  readonly gateway: string;
}

export type Connection =
  | { readonly kind: "answered" }
  | { readonly kind: "failed"; readonly why: string };

export class Questions {
  readonly #exec: Exec;

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  /** Of a task's namespace; undefined: there is none. */
  async interfaces(taskId: string): Promise<readonly Interface[] | undefined> {
    const stdout = await this.#answer("ip", ["-n", taskId, "-j", "addr", "show"]);
    return stdout === undefined ? undefined : parseRecords(stdout).map(parseInterface);
  }

  /** The way of a packet that comes from a task's link; a text: why there is none. */
  async route(way: {
    readonly to: string;
    readonly from: string;
    readonly link: string;
  }): Promise<Route | string> {
    const { to, from, link } = way;
    try {
      const args = ["-j", "route", "get", to, "from", from, "iif", link];
      const { stdout } = await this.#exec.run("ip", args);
      const [route = {}] = parseRecords(stdout);
      return { device: text(route, "dev"), gateway: text(route, "gateway") || via(route) };
    } catch (thrown) {
      return Fault.from(thrown).message;
    }
  }

  /** Whether a set or map of table `inet swarm` has the key; of a map, what it leads to. In text: nft 1.0.6 has no JSON of it. */
  async element(set: string, key: string): Promise<{ readonly value: string } | undefined> {
    const args = ["get", "element", "inet", "swarm", set, `{ ${key} }`];
    const stdout = await this.#answer("nft", args);
    if (stdout === undefined) return undefined;
    return { value: /elements = \{ .* : (\S+) \}/.exec(stdout)?.[1] ?? "" };
  }

  /** The MAC that stands for the next hop; undefined: nobody wrote one. */
  async neighbour(address: string, device: string): Promise<string | undefined> {
    const stdout = await this.#answer("ip", ["-j", "neigh", "show", address, "dev", device]);
    const [entry] = stdout === undefined ? [] : parseRecords(stdout);
    return entry && (text(entry, "lladdr") || undefined);
  }

  /** Where the VXLAN device sends frames to this MAC. */
  async destination(mac: string, device: string): Promise<string | undefined> {
    const stdout = await this.#answer("bridge", ["-j", "fdb", "show", "dev", device]);
    const entries = stdout === undefined ? [] : parseRecords(stdout);
    return entries
      .filter((entry) => text(entry, "mac") === mac)
      .map((entry) => text(entry, "dst"))[0];
  }

  /** The TCP ports on which somebody listens in the task's namespace. */
  async listening(taskId: string): Promise<ReadonlySet<number>> {
    const stdout = await this.#answer("ip", ["netns", "exec", taskId, "ss", "-Hltn"]);
    const ports = (stdout ?? "").split("\n").map((line) => /:(\d+)\s/.exec(line)?.[1]);
    return new Set(ports.filter((port) => port !== undefined).map(Number));
  }

  /** A TCP connection from inside the task's namespace, ended at once. */
  async connect(taskId: string, address: string, port: number): Promise<Connection> {
    const host = isText6(address) ? `[${address}]` : address;
    const target = `TCP:${host}:${port},connect-timeout=${connectSeconds}`;
    const args = ["netns", "exec", taskId, "socat", "-u", "OPEN:/dev/null", target];
    return await this.#attempt("ip", args, /: ([^:]*)$/);
  }

  /** One echo from inside the task's namespace. */
  async ping(taskId: string, address: string): Promise<Connection> {
    const args = [
      "netns",
      "exec",
      taskId,
      "ping",
      "-n",
      "-q",
      "-c",
      "1",
      "-W",
      `${connectSeconds}`,
    ];
    return await this.#attempt("ip", [...args, address], /$^/);
  }

  async #attempt(command: string, args: readonly string[], why: RegExp): Promise<Connection> {
    try {
      await this.#exec.run(command, args);
      return { kind: "answered" };
    } catch (thrown) {
      const { message } = Fault.from(thrown);
      return { kind: "failed", why: why.exec(message.trim())?.[1] ?? "no answer" };
    }
  }

  /** Undefined where the program fails, which is how it says that there is no such thing. */
  async #answer(command: string, args: readonly string[]): Promise<string | undefined> {
    try {
      return (await this.#exec.run(command, args)).stdout;
    } catch {
      return undefined;
    }
  }
}

/** The host's side of a task's link: both sides have its number in their names. */
export function hostSide(taskId: string, device: string): string {
  return vethName(taskId, Number(device.replace("eth", "")));
}

function via(route: JsonObject): string {
  return isRecord(route["via"]) ? text(route["via"], "host") : "";
}

function parseInterface(link: JsonObject): Interface {
  const flags = Array.isArray(link["flags"]) ? link["flags"] : [];
  const all = Array.isArray(link["addr_info"]) ? link["addr_info"] : [];
  return {
    device: text(link, "ifname"),
    up: flags.includes("UP"),
    addresses: all.filter(isRecord).map((address) => text(address, "local")),
  };
}
