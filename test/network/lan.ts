/**
 * The ground under a cluster: hosts on a LAN, `cl` beside them, `far` behind the LAN's router. All of it namespaces with
 * both families, gone with the stack that holds them.
 */
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Namespace } from "#agent/network/testing/namespace.ts";
import { Host } from "#agent/network/testing/ground.ts";

export const clientAddress = "172.31.99.100";
export const clientAddress6 = "fd99::100";
export const farAddress = "172.31.98.100";
export const farAddress6 = "fd98::100";
const router = "172.31.99.254";
const router6 = "fd99::254";

export function hostAddress(number: number): string {
  return `172.31.99.${number}`;
}

export function hostAddress6(number: number): string {
  return `fd99::${number}`;
}

/** On the VXLAN device of plain networks. */
export function hostMac(number: number): string {
  return `02:6e:00:00:00:0${number}`;
}

export interface Lan {
  /** The router and the LAN's bridge: what passes it was on the wire. */
  readonly router: Namespace;
  readonly client: Namespace;
  readonly far: Namespace;
  readonly hosts: readonly Host[];
}

export async function openLan(stack: AsyncDisposableStack, hostCount: number): Promise<Lan> {
  const open = async () => stack.use(await Namespace.open());
  const [routerSpace, client, far, ...others] = await Promise.all([
    open(),
    open(),
    open(),
    ...Array.from({ length: hostCount }, open),
  ]);
  const hosts = others.map((namespace, index) => new Host(index + 1, namespace));
  await routerSpace.batch([
    "link add lan0 type bridge forward_delay 0",
    `addr add ${router}/24 dev lan0`,
    `addr add ${router6}/64 dev lan0 nodad`,
    "link set lan0 up",
    `link add far0 type veth peer name eth0 netns ${far.pid}`,
    "addr add 172.31.98.1/24 dev far0",
    "addr add fd98::1/64 dev far0 nodad",
    "link set far0 up",
    ...hosts.flatMap(({ number, namespace }) => cable(`h${number}`, namespace)),
    ...cable("cl", client),
  ]);
  await routerSpace.run("sysctl", [
    "-qw",
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
  ]);
  await Promise.all([
    ...hosts.map(({ number, namespace }) => join(namespace, String(number))),
    join(client, "100"),
    far.batch([
      `addr add ${farAddress}/24 dev eth0`,
      `addr add ${farAddress6}/64 dev eth0 nodad`,
      "link set eth0 up",
      "route add default via 172.31.98.1",
      "route add default via fd98::1",
    ]),
  ]);
  await startUpstream(routerSpace);
  return { router: routerSpace, client, far, hosts };
}

/** The nameserver that hosts ask: it knows `outside.test` alone. */
async function startUpstream(namespace: Namespace): Promise<void> {
  const program = import.meta.resolve("#agent/network/testing/lan-process.ts");
  const child = namespace.start(process.execPath, [fileURLToPath(program)], "ipc");
  await once(child, "message", { signal: AbortSignal.timeout(15_000) });
}

function cable(name: string, namespace: Namespace): readonly string[] {
  return [
    `link add ${name} type veth peer name eth0 netns ${namespace.pid}`,
    `link set ${name} master lan0 up`,
  ];
}

async function join(namespace: Namespace, lastPart: string): Promise<void> {
  await namespace.batch([
    `addr add 172.31.99.${lastPart}/24 dev eth0`,
    `addr add fd99::${lastPart}/64 dev eth0 nodad`,
    "link set eth0 up",
    `route add default via ${router}`,
    `route add default via ${router6}`,
  ]);
  await namespace.run("tee", ["/run/upstream.conf"], { input: `nameserver ${router}\n` });
}
