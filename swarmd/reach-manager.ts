/** Whether there is a way to a manager at all, which is known long before a slow host has answered a call. */
import { connect } from "node:net";
import { Fault } from "#proto/fault.ts";
import { parseHostPort } from "#proto/host-port.ts";
import type { Clock } from "#proto/ports.ts";

/** The kernel there answers, whatever else its host has to do. */
const reachMs = 5_000;

/** Throws where nothing comes back in time. A refusal comes back: whoever calls then says it better. */
export async function reachManager(address: string, clock: Clock): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  using _late = clock.timer(reachMs, () =>
    reject(new Fault("deadline-exceeded", `there was no answer within ${reachMs / 1000} s`)),
  );
  const socket = connect(parseHostPort(address));
  socket.once("connect", resolve).once("error", () => resolve());
  try {
    await promise;
  } finally {
    socket.destroy();
  }
}
