/**
 * Carries this process's input and output to a socket of this host: what `--host ssh://…` and `cluster apply` run on hosts at the
 * other end of an ssh connection. It knows nothing of what passes.
 */
import { connect } from "node:net";
import { pipeline } from "node:stream/promises";
import { Argument, type Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";

const sockets = ["manager", "swarmd"] as const;

export function define(command: Command, context: Context): void {
  command
    .addArgument(new Argument("<socket>", "whose").choices(sockets))
    .action(async (name: (typeof sockets)[number]) => {
      const path = context.socketPath(`${name}.sock`);
      const { stdin, stdout, signal } = context.io;
      const socket = connect({ path, allowHalfOpen: true });
      try {
        // What breaks it ends the other way, too, which tells.
        const sent = pipeline(stdin, socket, { signal }).catch(() => {});
        for await (const chunk of socket) {
          await new Promise<void>((done) => stdout.write(chunk, () => done()));
        }
        // Whoever ends the one way has no use for the other.
        socket.destroy();
        await sent;
      } catch (thrown) {
        throw Fault.wrap(`Cannot reach "${path}"`, thrown);
      }
    });
}
