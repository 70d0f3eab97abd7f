/**
 * What this service tells systemd of itself: sd_notify(3). Node has no datagram sockets of the unix kind, so systemd's own
 * `systemd-notify` says it, in the name of this process, its parent: so the unit need not listen to any other process.
 * Without systemd nothing is said.
 */
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import type { Clock, Log } from "#proto/ports.ts";

export interface ServiceModules {
  readonly exec: Pick<Exec, "run">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Hanging, it would hold up what is said after it. */
const tellMs = 10_000;

/** systemd's own advice is to feed it twice in its period; one lost time is survived so. */
const feedsPerPeriod = 3;

/** What is new is said that soon. */
const lookMs = 5_000;

export class ServiceManager implements AsyncDisposable {
  readonly #env: Readonly<Record<string, string>>;
  readonly #modules: ServiceModules;
  readonly #watchdogMs: number;
  #lane: Promise<void> = Promise.resolve();
  #timer: Disposable | undefined;
  #status = "";
  #fedAtMs = -Infinity;
  #complaint = "";

  /** Takes what is meant for this process alone out of the environment: no child shall have it. */
  static take(environment: NodeJS.ProcessEnv, modules: ServiceModules): ServiceManager {
    const { NOTIFY_SOCKET: socket = "", WATCHDOG_USEC: usec = "", PATH = "" } = environment;
    const isOurs = (environment["WATCHDOG_PID"] ?? `${process.pid}`) === `${process.pid}`;
    for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete environment[name];
    const watchdogMs = isOurs && /^[1-9]\d{0,15}$/.test(usec) ? Number(usec) / 1000 : Infinity;
    return new ServiceManager({ socket, path: PATH, watchdogMs }, modules);
  }

  /** For `take`. An empty socket: nobody listens. */
  constructor(
    { socket, path, watchdogMs }: { socket: string; path: string; watchdogMs: number },
    modules: ServiceModules,
  ) {
    this.#env = socket === "" ? {} : { NOTIFY_SOCKET: socket, PATH: path };
    this.#watchdogMs = watchdogMs;
    this.#modules = modules;
  }

  /**
   * It works from now on, and says how it is each time that it is another. `complaint`: what keeps it from working;
   * while there is something, systemd is let believe that nobody lives here, and starts it anew in the end.
   */
  async ready(words: { status: () => string; complaint: () => string | undefined }): Promise<void> {
    this.#status = words.status();
    await this.#tell("READY=1", statusOf(this.#status));
    this.#look(words);
  }

  async reloading(): Promise<void> {
    await this.#tell("RELOADING=1");
  }

  async reloaded(): Promise<void> {
    await this.#tell("READY=1");
  }

  /** The first thing of its end. Says whether the whole host shuts down. */
  async stopping(): Promise<boolean> {
    this.#timer?.[Symbol.dispose]();
    const isEnd = await this.#hostStops();
    const words = isEnd ? "stops with its host" : "stops; containers go on running";
    await this.#tell("STOPPING=1", statusOf(words));
    return isEnd;
  }

  /** systemctl says it by a word, and by an exit status that is no failure here. */
  async #hostStops(): Promise<boolean> {
    if (this.#env["NOTIFY_SOCKET"] === undefined) return false;
    const script = "systemctl is-system-running || true";
    const options = { env: this.#env, timeoutMs: tellMs };
    try {
      const { stdout } = await this.#modules.exec.run("sh", ["-c", script], options);
      return stdout.trim() === "stopping";
    } catch (thrown) {
      const error = Fault.from(thrown).message;
      this.#modules.log.warn("Cannot see whether the host shuts down", { error });
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    await this.#lane;
  }

  #look(words: { status: () => string; complaint: () => string | undefined }): void {
    const { clock } = this.#modules;
    const feedMs = this.#watchdogMs / feedsPerPeriod;
    const isFed = this.#watchdogMs !== Infinity;
    const complaint = words.complaint();
    if (complaint !== undefined && complaint !== this.#complaint) {
      this.#modules.log.error("swarmd stands still", { why: complaint });
    }
    this.#complaint = complaint ?? "";
    const news: string[] = [];
    const status = complaint ?? words.status();
    if (status !== this.#status) news.push(statusOf(status));
    this.#status = status;
    if (isFed && complaint === undefined && clock.monotonic() - this.#fedAtMs >= feedMs) {
      news.push("WATCHDOG=1");
      this.#fedAtMs = clock.monotonic();
    }
    if (news.length > 0) void this.#tell(...news);
    this.#timer = clock.timer(Math.min(lookMs, feedMs), () => this.#look(words));
  }

  /** One after the other. What cannot be said is told the log, and keeps nobody. */
  #tell(...assignments: string[]): Promise<void> {
    const socket = this.#env["NOTIFY_SOCKET"];
    if (socket === undefined) return Promise.resolve();
    this.#lane = this.#lane.then(async () => {
      try {
        const options = { env: this.#env, timeoutMs: tellMs };
        await this.#modules.exec.run("systemd-notify", assignments, options);
      } catch (thrown) {
        const error = Fault.from(thrown).message;
        this.#modules.log.warn("Cannot tell systemd", { what: assignments.join(" "), error });
      }
    });
    return this.#lane;
  }
}

/** One line. */
function statusOf(words: string): string {
  return `STATUS=${words.replaceAll(/\s+/g, " ")}`;
}
