/**
 * What Docker's CLI understands, so that tests can say which of it ours lacks. The table is what `docker NOUN VERB --help` of
 * version 28.2 prints: a command on each line, lines that begin with spaces go on with it, and after a flag that takes a
 * value stands "=".
 */
import { Command, type Option } from "commander";
import { systemClock } from "#proto/system-ports.ts";
import type { CommandFile } from "../command-file.ts";
import { Context } from "../context.ts";

const table = `
swarm ca: --ca-cert= --ca-key= --cert-expiry= -d,--detach --external-ca= -q,--quiet --rotate
swarm init: --advertise-addr= --autolock --availability= --cert-expiry= --data-path-addr=
  --data-path-port= --default-addr-pool= --default-addr-pool-mask-length= --dispatcher-heartbeat=
  --external-ca= --force-new-cluster --listen-addr= --max-snapshots= --snapshot-interval=
  --task-history-limit=
swarm join: --advertise-addr= --availability= --data-path-addr= --listen-addr= --token=
swarm join-token: -q,--quiet --rotate
swarm leave: -f,--force
swarm unlock:
swarm unlock-key: -q,--quiet --rotate
swarm update: --autolock --cert-expiry= --dispatcher-heartbeat= --external-ca= --max-snapshots=
  --snapshot-interval= --task-history-limit=
node demote:
node inspect: -f,--format= --pretty
node ls: -f,--filter= --format= -q,--quiet
node promote:
node ps: -f,--filter= --format= --no-resolve --no-trunc -q,--quiet
node rm: -f,--force
node update: --availability= --label-add= --label-rm= --role=
service create: --cap-add= --cap-drop= --config= --constraint= --container-label=
  --credential-spec= -d,--detach --dns= --dns-option= --dns-search= --endpoint-mode= --entrypoint=
  -e,--env= --env-file= --generic-resource= --group= --health-cmd= --health-interval=
  --health-retries= --health-start-interval= --health-start-period= --health-timeout= --host=
  --hostname= --init --isolation= -l,--label= --limit-cpu= --limit-memory= --limit-pids=
  --log-driver= --log-opt= --max-concurrent= --mode= --mount= --name= --network= --no-healthcheck
  --no-resolve-image --oom-score-adj= --placement-pref= -p,--publish= -q,--quiet --read-only
  --replicas= --replicas-max-per-node= --reserve-cpu= --reserve-memory= --restart-condition=
  --restart-delay= --restart-max-attempts= --restart-window= --rollback-delay=
  --rollback-failure-action= --rollback-max-failure-ratio= --rollback-monitor= --rollback-order=
  --rollback-parallelism= --secret= --stop-grace-period= --stop-signal= --sysctl= -t,--tty
  --ulimit= --update-delay= --update-failure-action= --update-max-failure-ratio= --update-monitor=
  --update-order= --update-parallelism= -u,--user= --with-registry-auth -w,--workdir=
service inspect: -f,--format= --pretty
service logs: --details -f,--follow --no-resolve --no-task-ids --no-trunc --raw --since=
  -n,--tail= -t,--timestamps
service ls: -f,--filter= --format= -q,--quiet
service ps: -f,--filter= --format= --no-resolve --no-trunc -q,--quiet
service rm:
service rollback: -d,--detach -q,--quiet
service scale: -d,--detach
service update: --args= --cap-add= --cap-drop= --config-add= --config-rm= --constraint-add=
  --constraint-rm= --container-label-add= --container-label-rm= --credential-spec= -d,--detach
  --dns-add= --dns-option-add= --dns-option-rm= --dns-rm= --dns-search-add= --dns-search-rm=
  --endpoint-mode= --entrypoint= --env-add= --env-rm= --force --generic-resource-add=
  --generic-resource-rm= --group-add= --group-rm= --health-cmd= --health-interval=
  --health-retries= --health-start-interval= --health-start-period= --health-timeout= --host-add=
  --host-rm= --hostname= --image= --init --isolation= --label-add= --label-rm= --limit-cpu=
  --limit-memory= --limit-pids= --log-driver= --log-opt= --max-concurrent= --mount-add=
  --mount-rm= --network-add= --network-rm= --no-healthcheck --no-resolve-image --oom-score-adj=
  --placement-pref-add= --placement-pref-rm= --publish-add= --publish-rm= -q,--quiet --read-only
  --replicas= --replicas-max-per-node= --reserve-cpu= --reserve-memory= --restart-condition=
  --restart-delay= --restart-max-attempts= --restart-window= --rollback --rollback-delay=
  --rollback-failure-action= --rollback-max-failure-ratio= --rollback-monitor= --rollback-order=
  --rollback-parallelism= --secret-add= --secret-rm= --stop-grace-period= --stop-signal=
  --sysctl-add= --sysctl-rm= -t,--tty --ulimit-add= --ulimit-rm= --update-delay=
  --update-failure-action= --update-max-failure-ratio= --update-monitor= --update-order=
  --update-parallelism= -u,--user= --with-registry-auth -w,--workdir=
stack config: -c,--compose-file= --skip-interpolation
stack deploy: -c,--compose-file= -d,--detach --prune -q,--quiet --resolve-image=
  --with-registry-auth
stack ls: --format=
stack ps: -f,--filter= --format= --no-resolve --no-trunc -q,--quiet
stack rm: -d,--detach
stack services: -f,--filter= --format= -q,--quiet
secret create: -d,--driver= -l,--label= --template-driver=
secret inspect: -f,--format= --pretty
secret ls: -f,--filter= --format= -q,--quiet
secret rm:
config create: -l,--label= --template-driver=
config inspect: -f,--format= --pretty
config ls: -f,--filter= --format= -q,--quiet
config rm:
network connect: --alias= --driver-opt= --gw-priority= --ip= --ip6= --link= --link-local-ip=
network create: --attachable --aux-address= --config-from= --config-only -d,--driver= --gateway=
  --ingress --internal --ip-range= --ipam-driver= --ipam-opt= --ipv4 --ipv6 --label= -o,--opt=
  --scope= --subnet=
network disconnect: -f,--force
network inspect: -f,--format= -v,--verbose
network ls: -f,--filter= --format= --no-trunc -q,--quiet
network prune: --filter= -f,--force
network rm: -f,--force
volume create: --availability= -d,--driver= --group= --label= --limit-bytes= -o,--opt=
  --required-bytes= --scope= --secret= --sharing= --topology-preferred= --topology-required=
  --type=
volume inspect: -f,--format=
volume ls: --cluster -f,--filter= --format= -q,--quiet
volume prune: -a,--all --filter= -f,--force
volume rm: -f,--force
volume update: --availability=
image build: --add-host= --build-arg= --cache-from= --cgroup-parent= --compress --cpu-period=
  --cpu-quota= -c,--cpu-shares= --cpuset-cpus= --cpuset-mems= --disable-content-trust -f,--file=
  --force-rm --iidfile= --isolation= --label= -m,--memory= --memory-swap= --network= --no-cache
  --platform= --pull -q,--quiet --rm --security-opt= --shm-size= --squash -t,--tag= --target=
  --ulimit=
image history: --format= -H,--human --no-trunc --platform= -q,--quiet
image import: -c,--change= -m,--message= --platform=
image inspect: -f,--format= --platform=
image load: -i,--input= --platform= -q,--quiet
image ls: -a,--all --digests -f,--filter= --format= --no-trunc -q,--quiet --tree
image prune: -a,--all --filter= -f,--force
image pull: -a,--all-tags --disable-content-trust --platform= -q,--quiet
image push: -a,--all-tags --disable-content-trust --platform= -q,--quiet
image rm: -f,--force --no-prune --platform=
image save: -o,--output= --platform=
image tag:
system df: --format= -v,--verbose
system events: -f,--filter= --format= --since= --until=
system info: -f,--format=
system prune: -a,--all --filter= -f,--force --volumes
context create: --description= --docker= --from=
context export:
context import:
context inspect: -f,--format=
context ls: --format= -q,--quiet
context rm: -f,--force
context show:
context update: --description= --docker=
context use:
exec: -d,--detach --detach-keys= -e,--env= --env-file= -i,--interactive --privileged -t,--tty
  -u,--user= -w,--workdir=
attach: --detach-keys= --no-stdin --sig-proxy
cp: -a,--archive -L,--follow-link -q,--quiet
login: -p,--password= --password-stdin -u,--username=
logout:
version: -f,--format=
events: -f,--filter= --format= --since= --until=
stats: -a,--all --format= --no-stream --no-trunc
logs: --details -f,--follow --since= -n,--tail= -t,--timestamps --until=
`;

interface DockerFlag {
  readonly long: string;
  readonly short: string | undefined;
  readonly takesValue: boolean;
}

const commands: ReadonlyMap<string, readonly DockerFlag[]> = new Map(
  table
    .trim()
    .replaceAll("\n  ", " ")
    .split("\n")
    .map((line) => {
      const [command = "", flags = ""] = line.split(":");
      return [command, flags.trim().split(" ").filter(Boolean).map(parseFlag)];
    }),
);

function parseFlag(text: string): DockerFlag {
  const names = text.replace("=", "").split(",");
  const [long = "", short] = names.toReversed();
  return { long, short, takesValue: text.endsWith("=") };
}

/** The verbs of a noun of Docker's; of "", the commands without a noun. */
export function dockerVerbs(noun: string): readonly string[] {
  return [...commands.keys()].flatMap((command) => {
    const words = command.split(" ");
    const verb = words.pop() ?? "";
    return words.join(" ") === noun ? [verb] : [];
  });
}

/**
 * What somebody who knows Docker's command misses in ours, in words; empty where all is there. `without` says of flags that
 * are left out why they are: one that is there all the same, or that Docker has not, is named too.
 */
export async function flagDifferences(
  command: string,
  ours: CommandFile,
  without: Readonly<Record<string, string>> = {},
): Promise<readonly string[]> {
  const options = await optionsOf(ours);
  const docker = commands.get(command) ?? [];
  const needless = Object.keys(without).filter(
    (long) => options.has(long) || !docker.some((flag) => flag.long === long),
  );
  const missing = docker.filter(({ long }) => !Object.hasOwn(without, long));
  return [
    ...needless.map((long) => `${command} ${long}: it says why it is left out, without need`),
    ...missing
      .flatMap((flag) => differenceOf(flag, options.get(flag.long)) ?? [])
      .map((what) => `${command} ${what}`),
  ];
}

function differenceOf(flag: DockerFlag, ours: Option | undefined): string | undefined {
  if (ours === undefined) return `${flag.long}: is missing`;
  if (flag.short !== undefined && ours.short !== flag.short) {
    return `${flag.long}: the short form ${flag.short} is missing`;
  }
  // One that takes a value where it has to would take the next word of somebody who gives none.
  if (!flag.takesValue && ours.required)
    return `${flag.long}: takes a value, and Docker's takes none`;
  if (flag.takesValue && !ours.required)
    return `${flag.long}: takes no value, and Docker's takes one`;
  return undefined;
}

async function optionsOf(file: CommandFile): Promise<ReadonlyMap<string, Option>> {
  const nowhere = { write: () => true };
  const io = {
    stdin: (async function* () {})(),
    stdout: nowhere,
    stderr: nowhere,
    env: {},
    clock: systemClock,
    signal: new AbortController().signal,
  };
  await using context = new Context(io);
  const command = new Command(file.name);
  (await file.load()).define(command, context);
  return new Map(command.options.map((option) => [option.long ?? "", option]));
}
