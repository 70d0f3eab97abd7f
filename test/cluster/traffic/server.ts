/**
 * A web server as a good one behaves: told to stop, it answers what is asked on the connections that it has, says on each
 * that it is the last answer, and ends when none is left. Its answer is its host name and the client's address.
 */
import { createServer } from "node:http";
import { hostname } from "node:os";

let stopping = false;
let connections = 0;

const server = createServer((request, response) => {
  if (stopping) response.setHeader("connection", "close");
  response.end(`${hostname()} ${request.socket.remoteAddress?.replace("::ffff:", "")}\n`);
});
server.keepAliveTimeout = 0;
server.on("connection", (socket) => {
  connections += 1;
  socket.once("close", () => {
    connections -= 1;
    if (stopping && connections === 0) process.exit(0);
  });
});
process.on("SIGTERM", () => {
  stopping = true;
  if (connections === 0) process.exit(0);
});
server.listen(8080, () => console.log("ready"));
