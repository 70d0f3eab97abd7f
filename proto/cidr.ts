/** The address of an interface's "10.0.1.5/24" or "fd00::5/64", of any of its forms. */
export function addressPart(cidr: string): string {
  return cidr.replace(/\/.*$/, "");
}
