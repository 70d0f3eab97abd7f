/** Services as people describe them with flags: what `service create` is told, then what each `service update` is. */

/** Words are separated by spaces; "~" stands for a space in a word. */
export const cases: readonly (readonly [create: string, ...updates: string[]])[] = [
  [
    "--label a=1 --label b --container-label c=d",
    "--label-rm b --label-add e=f=g --container-label-rm c",
  ],
  ["-e A=1 -e C= --env D=x~y", "--env-add A=2 --env-rm C --env-add E=1"],
  ["--replicas 0", "--replicas 3"],
  ["--mode global"],
  ["--mode replicated-job"],
  ["--mode replicated-job --replicas 5"],
  ["--mode replicated-job --max-concurrent 2"],
  ["--mode replicated-job --replicas 5 --max-concurrent 2"],
  ["--mode global-job --restart-condition none"],
  ["--replicas 4 --replicas-max-per-node 2", "--replicas-max-per-node 0"],
  [
    "--constraint node.role==worker --constraint node.labels.a!=b --placement-pref spread=node.labels.x",
    "--constraint-rm node.role==worker --constraint-add node.hostname==h --placement-pref-add spread=node.labels.y --placement-pref-rm spread=node.labels.x",
  ],
  [
    "--generic-resource gpu=2",
    "--generic-resource-add gpu=3 --generic-resource-add ssd=1",
    "--generic-resource-rm gpu",
  ],
  [
    "--limit-cpu .5 --limit-memory 64MB --reserve-cpu 0.25 --reserve-memory 1g",
    "--limit-cpu 0 --limit-memory 128m",
  ],
  ["--limit-pids 5", "--limit-pids 0"],
  [
    "--update-delay 10s --update-parallelism 0 --update-failure-action rollback --update-max-failure-ratio .25 --update-order start-first --update-monitor 1m",
    "--update-parallelism 3 --rollback-order start-first --rollback-delay 1m30s",
  ],
  [
    "--restart-condition on-failure --restart-max-attempts 3 --restart-window 1m --restart-delay 0s",
    "--restart-delay 1s",
    "--restart-condition none",
  ],
  [
    "--dns 1.1.1.1 --dns-option ndots:1 --dns-search a.b",
    "--dns-rm 1.1.1.1 --dns-add 9.9.9.9 --dns-search-add c.d --dns-option-rm ndots:1",
  ],
  ["--host h:1.2.3.4 --host k:::1", "--host-rm h:1.2.3.4 --host-add m:5.6.7.8"],
  ["--group g1 --group g2", "--group-rm g1 --group-add g3"],
  [
    "--sysctl net.core.somaxconn=1 --ulimit nofile=1:2",
    "--sysctl-rm net.core.somaxconn --ulimit-add nproc=3",
  ],
  ["--ulimit nofile=7", "--ulimit-rm nofile"],
  ["--cap-add CAP_NET_ADMIN --cap-drop ALL", "--cap-drop CAP_NET_ADMIN --cap-add ALL"],
  [
    "-p 8080:80 -p published=53,target=53,protocol=udp,mode=host",
    "--publish-rm 80 --publish-add 9:9",
  ],
  ["--publish 8080-8081:80-81/tcp", "--publish-rm 81"],
  ["--endpoint-mode dnsrr", "--endpoint-mode vip"],
  [
    "--mount type=bind,src=/a,dst=/b,ro --mount type=volume,src=v,target=/c,volume-label=x=y,volume-nocopy",
    "--mount-rm /c --mount-add type=volume,source=w,destination=/d,readonly",
  ],
  ["--mount src=v,dst=/a --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700", "--mount-rm /t"],
  ["--mount type=bind,src=/a,dst=/b,bind-propagation=rshared"],
  [
    "--secret key --config source=conf,target=/etc/c,mode=0400,uid=7,gid=8",
    "--secret-rm key --config-rm conf",
  ],
  ["--secret source=key,target=k", "--config-add conf"],
  ["--log-driver json-file --log-opt max-size=1m --log-opt max-file=2", "--log-driver none"],
  [
    "--health-cmd curl~x --health-retries 3 --health-interval 1m30s --health-timeout 2s --health-start-period 1s",
    "--health-retries 5",
  ],
  ["--no-healthcheck", "--health-cmd true"],
  ["--stop-grace-period 0s --stop-signal USR1", "--stop-grace-period 1m"],
  ["--hostname h -u 1:2 -w /x --read-only -t --init", "--user 3 --workdir /y --hostname i"],
  ["--tty=true --init=true --read-only=true", "--tty=false --read-only=false"],
  ["--entrypoint sh~-c", "--args x~y --entrypoint z", "--force"],
  ["--network net", "--network-rm net"],
  ["--network name=net,alias=a,alias=b"],
  ["-l x=1 -e=A=1 -p=80:80"],
];

export const image = "busybox:1";

export function wordsOf(flags: string): string[] {
  return flags.split(" ").map((word) => word.replaceAll("~", " "));
}
