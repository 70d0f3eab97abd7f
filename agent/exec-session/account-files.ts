/**
 * A container's /etc/passwd and /etc/group as they are now. The container may be hostile: no link of its is followed, which
 * could lead into the host, and nothing is waited for, as at the end of a fifo.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Accounts } from "../container/user.ts";

/** Account files of real containers have some kilobytes. */
const fileBytesMax = 1024 * 1024;

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;

/** Empty where there is no such file. `pid`: the container's first process. */
export async function readAccounts(pid: number): Promise<Accounts> {
  try {
    await using folder = await open(`/proc/${pid}/root/etc`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    return { passwd: await read(folder, "passwd"), group: await read(folder, "group") };
  } catch {
    // Numbers do without.
    return { passwd: "", group: "" };
  }
}

async function read(folder: FileHandle, name: string): Promise<string> {
  try {
    const path = `/proc/self/fd/${folder.fd}/${name}`;
    await using file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!(await file.stat()).isFile()) return "";
    const { buffer, bytesRead } = await file.read(Buffer.alloc(fileBytesMax), 0, fileBytesMax, 0);
    return buffer.subarray(0, bytesRead).toString();
  } catch {
    return "";
  }
}
