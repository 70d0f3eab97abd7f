/** Files that a crash must leave whole, the old one or the new one: written to a new file, synced, renamed. */
import { mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** For root alone; the folder is made if need be. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const fresh = `${path}.new`;
  await writeSynced(fresh, text);
  await renameDurably(fresh, path);
}

/** Not under its last name yet: for a file that is to change together with another one. */
export async function writeSynced(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  // Until the folder is synced, a power loss may bring the old name back.
  const folder = await open(dirname(to));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
