/** The options of overlay networks' driver, as Docker writes them. Managers check them; agents go by what passed. */
import { Fault } from "./fault.ts";

const mtuOption = "com.docker.network.driver.mtu";
const encryptedOption = "encrypted";

export const overlayOptions: readonly string[] = [mtuOption, encryptedOption];

/** The least that a link may have: RFC 791's for everybody, RFC 8200's for IPv6. */
const mtuMin = 576;
const mtuMin6 = 1_280;
/** Jumbo frames, less what VXLAN puts around a packet. */
const mtuMax = 65_485;

type Options = Readonly<Record<string, string>>;

/** Undefined: as large as the network below lets it be. */
export function mtuOf(options: Options, { ipv6 = false } = {}): number | undefined {
  const text = options[mtuOption];
  if (text === undefined) return undefined;
  const mtu = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  const min = ipv6 ? mtuMin6 : mtuMin;
  if (mtu >= min && mtu <= mtuMax) return mtu;
  throw new Fault(
    "invalid-argument",
    `"${mtuOption}" is "${text}": use a number of bytes from ${min} to ${mtuMax}`,
  );
}

export function saysEncryption(options: Options): boolean {
  return options[encryptedOption] !== undefined;
}

/** The option alone turns it on. */
export function isEncrypted(options: Options): boolean {
  const text = options[encryptedOption];
  if (text === undefined) return false;
  if (text === "" || text === "true") return true;
  if (text === "false") return false;
  throw new Fault(
    "invalid-argument",
    `"${encryptedOption}" is "${text}": use true or false, or nothing`,
  );
}
