/** What a user must know of the unlock key, once. */
export function unlockInstructions(unlockKey: string): string {
  return [
    'To unlock a manager after it restarts, run "swarmctl cluster unlock" on it',
    "and provide the following key:",
    "",
    `    ${unlockKey}`,
    "",
    "Keep this key in a password manager: without it no manager can be started again.",
  ].join("\n");
}
