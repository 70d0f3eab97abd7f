/**
 * Asks a URL through each of several hosts, again and again until its input ends: each time over a connection of its own, and
 * a pause after the last answer, so that slow hosts are asked less often and not more at a time. Lines on its input say
 * through which hosts: "HOST up" and "HOST down"; a host that goes down is not asked any more from that line on, and what was
 * asked of it and not answered yet does not count. "N wanted" has "N there" printed when N requests more have come to an end.
 * Prints each failure as it comes, and one line of JSON at the end.
 * Arguments: the pause in milliseconds, the URL's part behind the host, then the hosts.
 */
import { get } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const [pause = "200", rest = "/", ...hosts] = process.argv.slice(2);
const requestMsMax = 30_000;

const up = new Set(hosts);
/** How often a host has gone down. */
const falls = new Map<string, number>();
const failures: string[] = [];
/** To be printed, each when this many requests have come to an end. */
const wishes: { readonly at: number; readonly words: string }[] = [];
let answered = 0;
let slowestMs = 0;
const ended = new AbortController();

function ask(host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(`http://${host}${rest}`, { agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (text += piece));
      response.on("end", () => {
        if (response.statusCode === 200 && text !== "") resolve(text);
        else reject(new Error(`status ${response.statusCode}: ${text}`));
      });
      response.on("error", reject);
    });
    request.setTimeout(requestMsMax, () => request.destroy(new Error("no answer in time")));
    request.on("error", reject);
  });
}

async function probe(host: string): Promise<void> {
  const fallsBefore = falls.get(host) ?? 0;
  const startedMs = performance.now();
  try {
    await ask(host);
    answered += 1;
    slowestMs = Math.max(slowestMs, performance.now() - startedMs);
  } catch (thrown) {
    if ((falls.get(host) ?? 0) > fallsBefore) return;
    const at = new Date().toISOString();
    const failure = `${at} through ${host} after ${Math.round(performance.now() - startedMs)} ms: ${String(thrown)}`;
    failures.push(failure);
    console.log(failure);
  }
  for (const { at, words } of wishes) if (at === answered + failures.length) console.log(words);
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [host = "", state] = line.split(" ");
    if (state === "wanted") {
      wishes.push({ at: answered + failures.length + Number(host), words: `${host} there` });
      return;
    }
    if (state === "up") up.add(host);
    else {
      up.delete(host);
      falls.set(host, (falls.get(host) ?? 0) + 1);
    }
    console.log(line);
  })
  .on("close", () => ended.abort());

async function askAgainAndAgain(host: string): Promise<void> {
  while (!ended.signal.aborted) {
    if (up.has(host)) await probe(host);
    await sleep(Number(pause));
  }
}

console.log("asking");
await Promise.all(hosts.map(askAgainAndAgain));
console.log(JSON.stringify({ answered, failures, slowestMs: Math.round(slowestMs) }));
