/** Where nodes are on the encrypted link: link-local addresses, which no router and no pool of overlays has. */
import { formatAddress, parseAddress } from "#proto/ipv4.ts";

export const encryptionRange = "169.254.64.0/18";
export const encryptionDevice = "sw-wg0";

export { encryptionPort } from "#proto/main-network.ts";

/** Outer IPv4 and UDP headers, WireGuard's header and its authenticator. */
export const encryptionOverheadBytes = 60;

const base = parseAddress("169.254.64.0");

/** The range has as many addresses as there are node numbers. */
export function encryptedAddress(nodeNumber: number): string {
  return formatAddress(base + nodeNumber);
}
