/**
 * Asks a web server again and again until its input ends, then prints what came of it as one line of JSON.
 * Arguments: URL, connections, "keep" or "new" (a connection for each request).
 */
import { Agent, get } from "node:http";

const [url = "", connections = "1", mode = "keep"] = process.argv.slice(2);

const answers = new Map<string, number>();
const failures: string[] = [];
const ended = new AbortController();

const requestMsMax = 5_000;

function ask(agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent, timeout: requestMsMax }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve(text));
      response.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
    request.on("error", reject);
  });
}

async function askOn(): Promise<void> {
  const agent = new Agent({ keepAlive: mode === "keep", maxSockets: 1 });
  while (!ended.signal.aborted) {
    try {
      const [server = ""] = (await ask(agent)).split(" ");
      answers.set(server, (answers.get(server) ?? 0) + 1);
    } catch (thrown) {
      failures.push(String(thrown));
    }
  }
  agent.destroy();
}

process.stdin.resume();
process.stdin.on("end", () => ended.abort());
console.log("asking");
await Promise.all(Array.from({ length: Number(connections) }, askOn));
console.log(JSON.stringify({ answers: Object.fromEntries(answers), failures }));
