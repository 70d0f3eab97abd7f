/** Bodies of answers as a whole, up to a size. */
import { Fault } from "#proto/fault.ts";
import { parseJson, parseList, parseObject, parseText } from "./foreign-json.ts";
import type { HttpResponse } from "./http-client.ts";

/** What is read of an answer that reports an error. */
const errorBytesMax = 64 * 1024;

export async function readAll(
  body: AsyncIterable<Buffer>,
  bytesMax: number,
  what: string,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.length;
    if (sizeBytes > bytesMax) {
      throw new Fault("failed-precondition", `${what} has more than ${bytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** As much of it as people read: logs and the state of tasks have it, too. */
const wordsMax = 300;

/** What the registry said about its error (": message"), as far as it can be read. */
export async function readError(response: HttpResponse): Promise<string> {
  try {
    const body = await readAll(response.body, errorBytesMax, "the error");
    const errors = parseList(
      parseObject(parseJson(body), "error")["errors"],
      "errors",
      parseObject,
    );
    const messages = errors.map((error) => parseText(error["message"], "message"));
    const words = messages.join("; ").replace(/\p{Cc}+/gu, " ");
    return words === "" ? "" : `: ${words.slice(0, wordsMax)}`;
  } catch {
    // The status alone tells enough; an error page of some proxy is no message for people.
    return "";
  }
}

/** Frees the connection. */
export async function discard(response: HttpResponse): Promise<void> {
  await readError(response);
}
