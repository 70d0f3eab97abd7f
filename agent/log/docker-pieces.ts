/** How Docker hands a long line to its drivers: in pieces, each a message of its own. Pure. */

/** Fits into a datagram, too. */
export const pieceBytesMax = 16 * 1024;

/** An empty line is one piece. */
export function piecesOf(data: Buffer): Buffer[] {
  const count = Math.max(1, Math.ceil(data.length / pieceBytesMax));
  return Array.from({ length: count }, (_, index) =>
    data.subarray(index * pieceBytesMax, (index + 1) * pieceBytesMax),
  );
}
