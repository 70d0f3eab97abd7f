/**
 * Content digests. Only sha256 is taken: it is what every registry serves, and the one algorithm that every image
 * specification requires.
 */
import { createHash } from "node:crypto";
import { Fault } from "#proto/fault.ts";

const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** 128 bits: nobody makes two layers with one name, and 127 names still fit the one page of mount options. */
const shortIdBytes = 16;

/** "sha256:…" of the bytes. For small things: it runs on the event loop in one go. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export function isDigest(text: string): boolean {
  return digestPattern.test(text);
}

export function parseDigest(text: string): string {
  if (isDigest(text)) return text;
  throw new Fault(
    "invalid-argument",
    `invalid digest "${text}": write sha256: and 64 lower-case hexadecimal digits`,
  );
}

/** The 64 hexadecimal digits, as file names have them. */
export function hexOf(digest: string): string {
  return parseDigest(digest).slice("sha256:".length);
}

/** A 22-character name for the digest that is safe in paths and in overlayfs mount options (no colon, no comma). */
export function shortIdOf(digest: string): string {
  return Buffer.from(hexOf(digest), "hex").subarray(0, shortIdBytes).toString("base64url");
}
