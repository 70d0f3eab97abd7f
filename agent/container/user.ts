/**
 * Whom a container's process runs as: "user", "uid", "user:group" or "uid:gid" looked up in the image's /etc/passwd and
 * /etc/group, by Docker's rules. The files are foreign bytes: lines that are not entries are skipped, as libc does. Pure.
 */
import { Fault } from "#proto/fault.ts";

export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/** The image's account files; empty where it has none. */
export interface Accounts {
  readonly passwd: string;
  readonly group: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** IDs are 32 bits; the last is "no ID" (chown(2)). */
const idMax = 0xffff_fffe;

export function resolveUser(wanted: string, groups: readonly string[], accounts: Accounts): User {
  const [userPart = "", groupPart = ""] = wanted.split(":", 2);
  const users = parsePasswd(accounts.passwd);
  const known = parseGroup(accounts.group);
  const name = userPart === "" ? "0" : userPart;
  const number = parseNumber(name);
  // A number is an ID, even where the image calls somebody else by it: CVE-2016-3697.
  const entry = users.find((user) =>
    number === undefined ? user.name === name : user.uid === number,
  );
  const uid = number ?? entry?.uid;
  if (uid === undefined) {
    throw new Fault(
      "failed-precondition",
      `unable to find user "${name}": no matching entries in the image's /etc/passwd`,
    );
  }
  const gid = groupPart === "" ? (entry?.gid ?? 0) : resolveGroup(groupPart, known);
  // A group that is named replaces the user's own memberships (Docker).
  const own =
    groupPart === "" && entry !== undefined
      ? known.filter((group) => group.members.includes(entry.name)).map((group) => group.gid)
      : [];
  const added = groups.map((group) => resolveGroup(group, known));
  // The own group, too: a process that changes its group must not lose what the group may not do (CVE-2022-36109).
  return { uid, gid, additionalGids: [...new Set([gid, ...own, ...added])] };
}

function resolveGroup(wanted: string, known: readonly GroupEntry[]): number {
  const gid = parseNumber(wanted) ?? known.find((group) => group.name === wanted)?.gid;
  if (gid !== undefined) return gid;
  throw new Fault(
    "failed-precondition",
    `unable to find group "${wanted}": no matching entries in the image's /etc/group`,
  );
}

export function parsePasswd(text: string): PasswdEntry[] {
  return entries(text).flatMap(([name = "", , uidText = "", gidText = ""]) => {
    const uid = parseNumber(uidText);
    const gid = parseNumber(gidText);
    return name === "" || uid === undefined || gid === undefined ? [] : [{ name, uid, gid }];
  });
}

export function parseGroup(text: string): GroupEntry[] {
  return entries(text).flatMap(([name = "", , gidText = "", members = ""]) => {
    const gid = parseNumber(gidText);
    if (name === "" || gid === undefined) return [];
    return [{ name, gid, members: members.split(",").filter((member) => member !== "") }];
  });
}

function entries(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}

function parseNumber(text: string): number | undefined {
  if (!/^[0-9]{1,10}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= idMax ? number : undefined;
}
