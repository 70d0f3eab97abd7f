/** A nameserver for a namespace: every name leads to one address. Says "ready" when it can be asked. */
import { createSocket } from "node:dgram";
import { decode, encode } from "dns-packet";

const [, , address = ""] = process.argv;
const socket = createSocket("udp6");
socket.on("message", (bytes, from) => {
  const { id = 0, questions = [] } = decode(bytes);
  const answers = questions.map(({ name }) => ({ type: "A" as const, name, data: address }));
  socket.send(encode({ type: "response", id, questions, answers }), from.port, from.address);
});
socket.bind(53, "::", () => console.log("ready"));
