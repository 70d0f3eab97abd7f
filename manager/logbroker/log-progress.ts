/**
 * How far the logs of some tasks were read, so that reading which was broken off goes on behind the last line. A line has no
 * number; it is found again by its timestamp and by how many lines with that timestamp came before it. Pure.
 */
import { create } from "@bufbuild/protobuf";
import {
  type LogMessage,
  type LogOptions,
  LogOptionsSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";

type Timestamp = NonNullable<LogMessage["timestamp"]>;

interface Place {
  readonly timestamp: Timestamp;
  /** Lines read that have this timestamp. */
  readonly lines: number;
}

export interface LogPart {
  readonly taskIds: readonly string[];
  readonly options: LogOptions | undefined;
}

export class LogProgress {
  readonly #options: LogOptions | undefined;
  readonly #askedAt: Timestamp;
  readonly #places = new Map<string, Place>();
  #asked = false;
  /** Of tasks that are read again: what comes once more. */
  #behind = new Map<string, Place>();

  /** `options` as the reader wants them; `askedAt`: when it did. */
  constructor(options: LogOptions | undefined, askedAt: Timestamp) {
    this.#options = options;
    this.#askedAt = askedAt;
  }

  /** What to ask for, so that with what was read it comes to the whole. At most two parts. */
  parts(taskIds: readonly string[]): readonly LogPart[] {
    this.#behind = new Map(this.#places);
    const places = taskIds.flatMap((id) => this.#places.get(id) ?? []);
    const begun = taskIds.filter((id) => this.#places.has(id));
    const fresh = taskIds.filter((id) => !this.#places.has(id));
    const first = places.map(({ timestamp }) => timestamp).toSorted(compare)[0];
    const freshOptions = this.#freshOptions();
    this.#asked = true;
    return [
      { taskIds: fresh, options: freshOptions },
      { taskIds: begun, options: first && this.#since(first) },
    ].filter((part) => part.taskIds.length > 0);
  }

  /** Those messages that were not read before; they are from now on. */
  take(messages: readonly LogMessage[]): readonly LogMessage[] {
    return messages.filter(({ taskId, timestamp = zero, dropped }) => {
      // No line, and not said again when the lines are read again.
      if (dropped) return true;
      if (this.#isBehind(taskId, timestamp)) return false;
      this.#note(taskId, timestamp);
      return true;
    });
  }

  #isBehind(taskId: string, timestamp: Timestamp): boolean {
    const place = this.#behind.get(taskId);
    if (place === undefined) return false;
    const order = compare(timestamp, place.timestamp);
    if (order < 0) return true;
    if (order === 0 && place.lines > 0) {
      this.#behind.set(taskId, { timestamp, lines: place.lines - 1 });
      return true;
    }
    this.#behind.delete(taskId);
    return false;
  }

  #note(taskId: string, timestamp: Timestamp): void {
    const place = this.#places.get(taskId);
    if (place !== undefined && compare(place.timestamp, timestamp) === 0) {
      this.#places.set(taskId, { timestamp, lines: place.lines + 1 });
    } else {
      // A tail may begin among lines of one timestamp: how many there are before it is not known.
      const amongOthers = place === undefined && (this.#options?.tail ?? 0n) > 0n;
      this.#places.set(taskId, { timestamp, lines: amongOthers ? Infinity : 1 });
    }
  }

  /** Who wants no old lines wants those that came since, while nobody read. */
  #freshOptions(): LogOptions | undefined {
    const missedSome = this.#asked && this.#options?.tail === 0n;
    return missedSome ? this.#since(this.#options?.since ?? this.#askedAt) : this.#options;
  }

  #since(since: Timestamp): LogOptions {
    const { follow = false, until } = this.#options ?? {};
    return create(LogOptionsSchema, { follow, since, ...(until !== undefined && { until }) });
  }
}

const zero = { seconds: 0n, nanos: 0 } as Timestamp;

function compare(a: Timestamp, b: Timestamp): number {
  if (a.seconds !== b.seconds) return a.seconds < b.seconds ? -1 : 1;
  return a.nanos - b.nanos;
}
