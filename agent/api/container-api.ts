/** What callers elsewhere may do with the containers of this node's tasks. */
import { join } from "node:path";
import type { ContainerService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { findProgram } from "../container/find-program.ts";
import { clearTools } from "../exec-session/container-tool.ts";
import { attachHandler } from "../exec-session/attach.ts";
import { archiveHandlers } from "../exec-session/archives.ts";
import { forwardPortHandler } from "../exec-session/forward-port.ts";
import { ExecSessions, type ExecSessionsModules } from "../exec-session/exec-sessions.ts";

export interface ContainerApiOptions {
  readonly dataRoot: string;
  readonly runRoot: string;
}

export class ContainerApi implements AsyncDisposable {
  readonly #sessions: ExecSessions;
  readonly handlers: Partial<Handlers<typeof ContainerService>>;

  constructor({ dataRoot, runRoot }: ContainerApiOptions, modules: ExecSessionsModules) {
    const places = {
      tasksFolder: join(dataRoot, "agent/tasks"),
      runtimeRoot: join(runRoot, "runc"),
    };
    // Not below the run root: nothing may be executed there on many hosts.
    const tools = {
      runtime: findProgram("runc", "the container runtime", "runc"),
      toolFolder: join(dataRoot, "agent/tools"),
    };
    clearTools(tools.toolFolder);
    const options = { ...places, folder: join(runRoot, "exec"), runtime: "runc" } as const;
    this.#sessions = new ExecSessions(options, modules);
    this.handlers = {
      exec: this.#sessions.exec,
      attach: attachHandler({
        places: { ...places, exitsFolder: join(runRoot, "exits") },
        ...modules,
      }),
      forwardPort: forwardPortHandler(places, modules.exec),
      ...archiveHandlers({ places: { ...places, ...tools }, exec: modules.exec }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sessions[Symbol.asyncDispose]();
  }
}
