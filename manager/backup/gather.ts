/** A message or a write carries about this much: few of them, and none that holds up others for long. */
const gatheredBytes = 256 * 1024;

/** The same bytes in fewer, larger parts. */
export function* gather(parts: Iterable<Uint8Array>): Iterable<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  for (const part of parts) {
    waiting.push(part);
    waitingBytes += part.length;
    if (waitingBytes < gatheredBytes) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    waitingBytes = 0;
  }
  if (waiting.length > 0) yield Buffer.concat(waiting);
}
