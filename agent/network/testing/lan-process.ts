/** What stands outside the overlay: a TCP server that says who asks, and a nameserver that knows one name. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { decode, encode } from "dns-packet";

const server = createServer((socket) => {
  socket.on("error", () => {});
  socket.end(`${socket.remoteAddress}\n`);
});
server.listen({ host: "0.0.0.0", port: 80 });

const nameserver = createSocket("udp4");
nameserver.on("message", (bytes, { address, port }) => {
  const { id, questions } = decode(bytes);
  const [question] = questions ?? [];
  if (id === undefined || question === undefined) return;
  const known = question.name === "outside.test" && question.type === "A";
  const answers = known
    ? [{ type: "A" as const, name: question.name, ttl: 1, data: "192.0.2.7" }]
    : [];
  const code = question.name === "outside.test" ? 0 : 3;
  nameserver.send(
    encode({ type: "response", id, flags: code, questions: [question], answers }),
    port,
    address,
  );
});
nameserver.bind(53, "0.0.0.0", () => process.send?.("ready"));
