/** Finds out within 10 s that a client of the server is dead, and lets go of those that do not let go themselves. */
import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "./ports.ts";

interface ServerConnection {
  readonly session: Http2Session;
  readonly socket: Socket;
}

const pingMs = 5_000;
const pingTimeoutMs = 5_000;

/** At once: HTTP/2 alone would wait until the client has taken what was sent. */
export function endConnection({ session, socket }: ServerConnection): void {
  session.destroy();
  socket.destroy();
}

/** Until it is disposed of. */
export function keepAlive(connection: ServerConnection, clock: Clock): Disposable {
  const { session, socket } = connection;
  const end = () => endConnection(connection);
  const again = () => {
    timer = clock.timer(pingMs, ping);
  };
  const ping = () => {
    // All is said, and the client does not close.
    if (session.destroyed) end();
    // It has said goodbye and waits for its last answers. HTTP/2 pings no more then; TCP does.
    else if (session.closed) again();
    else {
      // In halves: where this process stood still, what came meanwhile is read in between.
      timer = clock.timer(pingTimeoutMs / 2, () => {
        timer = clock.timer(pingTimeoutMs / 2, end);
      });
      session.ping(() => {
        timer[Symbol.dispose]();
        again();
      });
    }
  };
  socket.setKeepAlive(true, pingMs);
  let timer = clock.timer(pingMs, ping);
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}
