/** Where a registry's images are asked for: its mirrors in their order, then itself. Pure. */
import { isInNetwork, isLoopback, type Proxy } from "./proxy.ts";

export interface RegistryMirror {
  /** Whose images it has: "docker.io". */
  readonly registry: string;
  /** With a path, where it is a part of something larger. */
  readonly url: string;
}

export interface RegistrySettings {
  /** HOST[:PORT] or networks (10.0.0.0/8) that may speak plain HTTP or have a certificate that nobody vouches for. */
  readonly insecureRegistries: readonly string[];
  readonly mirrors?: readonly RegistryMirror[];
  /** A config.json of Docker's with logins; it need not be there. */
  readonly credentialsFile?: string;
  /** Folders as /etc/docker/certs.d is one. */
  readonly certificateFolders?: readonly string[];
  readonly proxy?: Proxy;
}

export interface Endpoint {
  /** The name under which logins for it are kept. */
  readonly registry: string;
  /** HOST[:PORT] */
  readonly host: string;
  /** Undefined: HTTPS, or HTTP where it is insecure and knows nothing else. */
  readonly protocol?: "http:" | "https:";
  /** Before "/v2/". */
  readonly path: string;
  readonly isMirror: boolean;
}

/** The registry behind the name "docker.io". */
const officialHost = "registry-1.docker.io";

export function endpointsOf(registry: string, settings: RegistrySettings): readonly Endpoint[] {
  const mirrors = (settings.mirrors ?? []).filter((mirror) => mirror.registry === registry);
  return [...mirrors.map(mirrorEndpoint), ownEndpoint(registry)];
}

export function ownEndpoint(registry: string): Endpoint {
  const host = registry === "docker.io" ? officialHost : registry;
  return { registry, host, path: "", isMirror: false };
}

/** What is on this machine needs no TLS: Docker's own rule. */
export function isInsecure(host: string, insecure: readonly string[]): boolean {
  const { hostname } = URL.parse(`http://${host}`) ?? { hostname: host };
  if (isLoopback(hostname)) return true;
  const bare = hostname.replace(/^\[(.*)\]$/, "$1");
  const name = host.toLowerCase();
  return insecure.some((entry) => entry.toLowerCase() === name || isInNetwork(bare, entry));
}

function mirrorEndpoint({ url: text }: RegistryMirror): Endpoint {
  const url = new URL(text);
  return {
    registry: url.host,
    host: url.host,
    protocol: url.protocol === "http:" ? "http:" : "https:",
    path: url.pathname.replace(/\/+$/, ""),
    isMirror: true,
  };
}
