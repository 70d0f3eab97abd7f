/**
 * What tells one machine from another, as the files of a tar that is its second disk: address, names, host key, and the
 * keys of those who may come in. Its ID and its host name are on the kernel's command line, since systemd reads them first.
 */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { registryAddress } from "#lab/lan.ts";
import { run } from "#lab/process.ts";

export interface MachineName {
  readonly name: string;
  readonly address: string;
}

export interface Identity extends MachineName {
  /** 32 hexadecimal digits, as in /etc/machine-id. */
  readonly machineId: string;
  /** Of the second disk. */
  readonly disk: string;
  /** The line of the host key for a file of known hosts. */
  readonly knownHost: string;
}

export interface IdentityOptions {
  /** Where the files are made; is there. */
  readonly folder: string;
  /** Who may come in as root, admin (who has sudo) and guest (who has not): a public key. */
  readonly authorizedKey: string;
  /** Machines that have names here. */
  readonly others: readonly MachineName[];
}

/** The users that machines have. */
const users = ["root", "admin", "guest"] as const;
export type User = (typeof users)[number];

/** /etc/swarm/swarmd.yml: the registry of these tests speaks plain HTTP. */
const registrySettings = 'insecure-registry: ["registry:5000"]\n';

/** Writes it again where a host was cleaned. */
export const registrySetup = `mkdir -p /etc/swarm && echo '${registrySettings.trim()}' >/etc/swarm/swarmd.yml`;

export async function makeIdentity(
  machine: MachineName,
  options: IdentityOptions,
): Promise<Identity> {
  const { folder } = options;
  const { name, address } = machine;
  const hostKey = await makeKey(join(folder, "host-key"));
  const hosts = [machine, ...options.others].map((it) => `${it.address} ${it.name}`);
  const files = {
    "etc/hostname": `${name}\n`,
    "etc/hosts": `127.0.0.1 localhost\n${registryAddress} registry\n${hosts.join("\n")}\n`,
    "etc/systemd/network/lan.network": `[Match]
Driver=virtio_net

[Network]
Address=${address}/24
Gateway=${registryAddress}
`,
    "etc/swarm/swarmd.yml": registrySettings,
    "etc/ssh/ssh_host_ed25519_key": await readFile(hostKey.path, "utf8"),
    "etc/ssh/ssh_host_ed25519_key.pub": `${hostKey.publicKey}\n`,
    "etc/ssh/sshd_config.d/machine.conf": `HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys/%u
UseDNS no
`,
    ...Object.fromEntries(
      users.map((user) => [`etc/ssh/authorized_keys/${user}`, `${options.authorizedKey}\n`]),
    ),
  };
  const disk = join(folder, "identity.tar");
  await writeTar(disk, { folder: join(folder, "identity"), files });
  const knownHost = `${name},${address} ${hostKey.publicKey}`;
  return { ...machine, machineId: randomBytes(16).toString("hex"), disk, knownHost };
}

export interface KeyPair {
  readonly path: string;
  readonly publicKey: string;
}

export async function makeKey(path: string): Promise<KeyPair> {
  await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path]);
  return { path, publicKey: (await readFile(`${path}.pub`, "utf8")).trim() };
}

interface TarContent {
  /** Where the files are gathered. */
  readonly folder: string;
  readonly files: Readonly<Record<string, string>>;
}

/** Nobody but root may read what may be a key; all else has to be readable: sshd asks as the user. */
async function writeTar(path: string, { folder, files }: TarContent): Promise<void> {
  for (const [file, text] of Object.entries(files)) {
    const target = join(folder, file);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, text);
    await chmod(target, file.endsWith("_key") ? 0o600 : 0o644);
  }
  const owner = ["--uid", "0", "--gid", "0"];
  const names = Object.keys(files);
  await run(["bsdtar", "--format", "ustar", ...owner, "-C", folder, "-cf", path, ...names]);
}
