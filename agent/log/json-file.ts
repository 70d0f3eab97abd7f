/**
 * Docker's "json-file" on disk, for the programs that collect such files: ID-json.log, then ID-json.log.1 and so on, one
 * object per line.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, renameSync, write } from "node:fs";
import { promisify } from "node:util";
import { errnoOf } from "#proto/fault.ts";
import { attributesText, jsonLines } from "./json-line.ts";
import type { LogLine } from "./k8s-file.ts";
import type { RotationLimits } from "./log-files.ts";
import type { LogSink } from "./log-forwarder.ts";

const writeTo = promisify(write);

export interface JsonFileOptions extends RotationLimits {
  readonly path: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export class JsonFile implements LogSink {
  readonly #options: JsonFileOptions;
  readonly #attributes: string;
  #fd: number;
  #sizeBytes: number;
  #written: Promise<void> = Promise.resolve();

  /** What a run before wrote behind `position` comes again: it is cut off. */
  constructor(options: JsonFileOptions, position: number) {
    this.#options = options;
    this.#attributes = attributesText(options.attributes);
    this.#fd = openSync(options.path, "a", 0o600);
    // A file that is shorter was begun after the position was noted: all of it comes again.
    this.#sizeBytes = position <= fstatSync(this.#fd).size ? position : 0;
    ftruncateSync(this.#fd, this.#sizeBytes);
  }

  get position(): number {
    return this.#sizeBytes;
  }

  async write(lines: readonly LogLine[]): Promise<void> {
    this.#written = this.#append(lines);
    await this.#written;
  }

  /** Not while something is being written: the file's number may be another's at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#written.catch(() => undefined);
    closeSync(this.#fd);
  }

  async #append(lines: readonly LogLine[]): Promise<void> {
    const text = lines.map((line) => jsonLines(line, this.#attributes)).join("");
    const bytes = Buffer.from(text);
    if (this.#sizeBytes > 0 && this.#sizeBytes + bytes.length > this.#options.fileBytesMax) {
      this.#rotate();
    }
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await writeTo(this.#fd, bytes, at, bytes.length - at);
      at += bytesWritten;
    }
    this.#sizeBytes += bytes.length;
  }

  /** The last of them is overwritten by the one before it. */
  #rotate(): void {
    const { path, files } = this.#options;
    for (let number = files - 2; number >= 0; number--) {
      const name = number === 0 ? path : `${path}.${number}`;
      try {
        renameSync(name, `${path}.${number + 1}`);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
      }
    }
    closeSync(this.#fd);
    this.#fd = openSync(path, "w", 0o600);
    this.#sizeBytes = 0;
  }
}
