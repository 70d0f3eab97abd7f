/** How another host joins, in words that can be pasted. */
export function joinInstructions(
  role: "worker" | "manager",
  token: string,
  address: string,
): string {
  return [
    `To add a ${role} to this swarm, run the following command:`,
    "",
    `    swarmctl cluster join --token ${token} ${address}`,
    "",
  ].join("\n");
}
