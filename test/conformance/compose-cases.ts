/** Stack files that Docker's `stack config` and ours are asked about: one for each key and form of it. */

export interface ComposeCase {
  /** By name; the first is the stack file, and those that begin with "over" are merged over it, in their order. */
  readonly files: Readonly<Record<string, string>>;
  /** As `stack config --skip-interpolation`. */
  readonly raw?: true;
}

/** The shell's variables in all cases. */
export const environment = {
  HOME: "/home/user",
  TAG: "1.27",
  EMPTY: "",
  COUNT: "3",
  FLAG: "yes",
  RATIO: "0.25",
  FROM_SHELL: "shell",
  MODE: "0440",
} as const;

export function caseOf(...lines: readonly string[]): ComposeCase {
  return { files: { "stack.yml": `${lines.join("\n")}\n` } };
}

/** One service with these lines below its image, and other lines at the top. */
export function service(lines: readonly string[], ...top: readonly string[]): ComposeCase {
  const indented = lines.map((line) => `    ${line}`);
  return caseOf("services:", "  web:", "    image: nginx", ...indented, ...top);
}

/** A service and another file's word on it. */
export function over(base: readonly string[], above: readonly string[], top = ""): ComposeCase {
  const indented = above.map((line) => `    ${line}`);
  const text = ["services:", "  web:", ...indented].join("\n");
  return { files: { ...service(base, top).files, "over.yml": `${text}\n` } };
}

const keys: Record<string, ComposeCase> = {
  "image alone": service([]),
  "cap_add and cap_drop": service(["cap_add: [NET_ADMIN, SYS_TIME]", "cap_drop: [MKNOD]"]),
  cgroup_parent: service(["cgroup_parent: /limits"]),
  "command as text": service([`command: sh -c "echo 'a b' && sleep 1"`]),
  "command with comments": service(["command: |", "  # words", "  a#b # more", "  '# c' d"]),
  "command as a list": service(["command: [sh, -c, 'echo $$HOME']"]),
  "configs, short": service(["configs: [site]"], "configs: {site: {file: ./site.conf}}"),
  "configs, long": service(
    ["configs: [{source: site, target: /etc/site, uid: '33', gid: '33', mode: 0440}]"],
    "configs: {site: {file: ./site.conf, labels: {a: b}, template_driver: golang}}",
  ),
  "config, external": service([], "configs: {site: {external: true}}"),
  "config, external with a name": service(
    [],
    "configs: {site: {external: true, name: site-2}, old: {external: {name: site-1}}}",
  ),
  depends_on: service(["depends_on: [db, cache]"], "  db: {image: a}", "  cache: {image: b}"),
  "deploy.mode": service(["deploy: {mode: global}"]),
  "deploy.mode replicated-job": service(["deploy: {mode: replicated-job, replicas: 4}"]),
  "deploy.replicas": service(["deploy: {replicas: 0}"]),
  "deploy.labels as a map": service(["deploy: {labels: {a: b, num: 1}}"]),
  "deploy.labels as a list": service(["deploy: {labels: [a=b, c=d=e, alone]}"]),
  "deploy.update_config": service([
    "deploy:",
    "  update_config: {parallelism: 2, delay: 10s, failure_action: rollback, monitor: 90s,",
    "    max_failure_ratio: 0.5, order: start-first}",
  ]),
  "deploy.rollback_config": service([
    "deploy: {rollback_config: {parallelism: 0, delay: 1h, failure_action: continue, order: stop-first}}",
  ]),
  "deploy.resources": service([
    "deploy:",
    "  resources:",
    "    limits: {cpus: '0.50', memory: 50M, pids: 100}",
    "    reservations: {cpus: '0.25', memory: 1.5g}",
  ]),
  "deploy.resources.generic_resources": service([
    "deploy:",
    "  resources:",
    "    reservations:",
    "      generic_resources:",
    "        - discrete_resource_spec: {kind: gpu, value: 2}",
  ]),
  "deploy.restart_policy": service([
    "deploy: {restart_policy: {condition: on-failure, delay: 1500ms, max_attempts: 3, window: 2m}}",
  ]),
  "deploy.placement": service([
    "deploy:",
    "  placement:",
    "    constraints: [node.role == worker, node.labels.disk!=hdd]",
    "    preferences: [{spread: node.labels.zone}, {spread: node.labels.rack}]",
    "    max_replicas_per_node: 2",
  ]),
  "deploy.endpoint_mode": service(["deploy: {endpoint_mode: dnsrr}"]),
  devices: service(['devices: ["/dev/fuse:/dev/fuse:rw"]']),
  "dns as text": service(["dns: 8.8.8.8", "dns_search: example.com"]),
  "dns as a list": service(["dns: [8.8.8.8, 9.9.9.9]", "dns_search: [a.org, b.org]"]),
  "entrypoint as text": service(["entrypoint: /start --flag 'a b'"]),
  "entrypoint as a list": service(["entrypoint: [/start, --flag]"]),
  "environment as a map": service(["environment: {A: x, B: 'two words', NUM: 5, U: }"]),
  "environment as a list": service(["environment: [A=x, B=c=d, FROM_SHELL, U]"]),
  env_file: {
    files: {
      ...service(["env_file: [a.env, b.env]", "environment: {C: own}"]).files,
      "a.env": "# words\nA=1\nB=from a\n\nC=file\nFROM_SHELL\n",
      "b.env": "B=from b\n",
    },
  },
  expose: service(["expose: ['80', 8080]"]),
  "extra_hosts as a list": service(["extra_hosts: ['a:10.0.0.1', 'b=10.0.0.2', 'c:[::1]']"]),
  "extra_hosts as a map": service(["extra_hosts: {b: 10.0.0.2, a: 10.0.0.1}"]),
  "healthcheck as text": service(["healthcheck: {test: curl -f localhost, interval: 1m30s}"]),
  "healthcheck as a list": service([
    "healthcheck: {test: [CMD, curl, localhost], timeout: 10s, retries: 3, start_period: 40s}",
  ]),
  "healthcheck.start_interval": service(["healthcheck: {test: x, start_interval: 5s}"]),
  "healthcheck.disable": service(["healthcheck: {disable: true}"]),
  "hostname and domainname": service(["hostname: h", "domainname: example.com"]),
  "init, true": service(["init: true"]),
  "init, false": service(["init: false"]),
  "labels as a map": service(["labels: {com.example.a: x, com.example.b: '', num: 7}"]),
  "labels as a list": service(["labels: [com.example.a=x, com.example.b]"]),
  links: service(["links: [db, 'db:database']", "external_links: [other]"], "  db: {image: a}"),
  logging: service(["logging: {driver: json-file, options: {max-size: 10m, max-file: 3}}"]),
  "networks as a list": service(["networks: [front, back]"], "networks: {front: , back: {}}"),
  "networks as a map": service(
    ["networks: {front: {aliases: [www, web-1]}, back: }"],
    "networks: {front: {driver: overlay, attachable: true, internal: true}, back: }",
  ),
  "network, its addresses": service(
    ["networks: {net: {ipv4_address: 10.5.0.9, ipv6_address: 'fd00::9'}}"],
    "networks: {net: {ipam: {driver: default, config: [{subnet: 10.5.0.0/16}]}}}",
  ),
  "network, its options": service(
    [],
    "networks: {net: {driver: overlay, driver_opts: {encrypted: 'true', mtu: 1400}, labels: [a=b]}}",
  ),
  "network, its name": service([], "networks: {net: {name: the-network}}"),
  "network, external": service(
    ["networks: [a, b]"],
    "networks: {a: {external: true}, b: {external: true, name: bee}, c: {external: {name: sea}}}",
  ),
  "pid, ipc, userns_mode": service(["pid: host", "ipc: host", "userns_mode: host"]),
  "ports, short": service(['ports: ["8080:80", 443, "53:53/udp", "9000"]']),
  "ports, ranges": service(['ports: ["7000-7002:8000-8002", "3000-3001"]']),
  "ports, several for one": service(["ports: ['8000-8002:80']"]),
  "ports, long": service([
    "ports: [{target: 80, published: 8080, protocol: tcp, mode: host}, {target: 53, protocol: udp}]",
  ]),
  privileged: service(["privileged: true"]),
  read_only: service(["read_only: true"]),
  restart: service(["restart: always"]),
  "secrets, short": service(["secrets: [key]"], "secrets: {key: {file: key.pem}}"),
  "secrets, long": service(
    ["secrets: [{source: key, target: tls.key, uid: '1', gid: '2', mode: 0400}]"],
    "secrets: {key: {file: ../key.pem, labels: [a=b]}}",
  ),
  "secret, external": service([], "secrets: {key: {external: true, name: key-7}}"),
  "secret, by a driver": service([], "secrets: {key: {driver: vault, driver_opts: {path: a}}}"),
  security_opt: service(["security_opt: [no-new-privileges:true]"]),
  shm_size: service(["shm_size: 64M"]),
  "stdin_open and tty": service(["stdin_open: true", "tty: true"]),
  "stop_grace_period and stop_signal": service([
    "stop_grace_period: 1m30s",
    "stop_signal: SIGUSR1",
  ]),
  "sysctls as a map": service(["sysctls: {net.core.somaxconn: 1024, a.b: '0'}"]),
  "sysctls as a list": service(["sysctls: [net.core.somaxconn=1024]"]),
  "tmpfs as text": service(["tmpfs: /run"]),
  "tmpfs as a list": service(["tmpfs: [/run, '/tmp:size=64m']"]),
  ulimits: service(["ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}"]),
  user: service(["user: '1000:1000'"]),
  "volumes, short": service(
    ["volumes: [data:/data, ./conf:/etc/conf:ro, /srv, ~/x:/x, 'data:/d2:nocopy']"],
    "volumes: {data: }",
  ),
  "volumes, propagation": service(["volumes: ['/a:/b:rshared']"]),
  "volumes, long": service(
    [
      "volumes:",
      "  - {type: volume, source: data, target: /data, read_only: true, volume: {nocopy: true}}",
      "  - {type: bind, source: ../x, target: /x, bind: {propagation: rslave}}",
      "  - {type: tmpfs, target: /t, tmpfs: {size: 1000}}",
    ],
    "volumes: {data: {driver: local, driver_opts: {type: nfs, o: 'addr=10.0.0.1', num: 3}}}",
  ),
  "volume, external": service(
    [],
    "volumes: {a: {external: true}, b: {external: true, name: bee}, c: {name: sea, labels: {x: z}}}",
  ),
  working_dir: service(["working_dir: /srv"]),
  "extensions of a service and of the file": service(["x-note: {b: [1, 2], a: }"], "x-all: word"),
};

const yaml: Record<string, ComposeCase> = {
  "anchors and merge keys": caseOf(
    "x-common: &common",
    "  image: nginx",
    "  environment: &env {A: 1}",
    "services:",
    "  a: {<<: *common}",
    "  b: {<<: *common, image: other, environment: {<<: *env, B: 2}}",
  ),
  "a list of merge keys": caseOf(
    "x-a: &a {image: a, hostname: a}",
    "x-b: &b {image: b, user: b}",
    "services: {s: {<<: [*a, *b]}}",
  ),
  "words that look like others": service(["environment: {C: 22:22, D: 'no', E: ~}"]),
  "octal numbers": service([], "configs: {c: {external: true}}", "x-mode: [0440, 0o17, 0x1F, 08]"),
  "quotes and blocks": service([
    "labels:",
    '  a: "tab\\tand \\u00e9"',
    "  b: 'it''s'",
    "  c: |",
    "    two",
    "    lines",
    "  d: >-",
    "    one",
    "    line",
  ]),
  "byte order mark": { files: { "stack.yml": "\uFEFFservices: {a: {image: b}}\n" } },
  "carriage returns": { files: { "stack.yml": "services:\r\n  a:\r\n    image: b\r\n" } },
  "a version": caseOf("version: '3.8'", "services: {a: {image: b}}"),
};

const variables: Record<string, ComposeCase> = {
  "variables, plain": service(["hostname: $TAG", "user: ${TAG}", "working_dir: /a${EMPTY}b$UNSET"]),
  "variables, defaults": service([
    "labels: {a: '${UNSET:-x}', b: '${UNSET-y}', c: '${EMPTY:-z}', d: '${EMPTY-w}', e: '${TAG:-v}'}",
  ]),
  "variables, required": service(["labels: {a: '${TAG:?needed}', b: '${EMPTY?needed}'}"]),
  "variables, dollars": service(["command: [echo, '$$TAG', 'a$$', '$${TAG}']"]),
  "variables, cast": service([
    "deploy: {replicas: $COUNT, update_config: {max_failure_ratio: $RATIO}}",
    "tty: $FLAG",
    "read_only: ${FLAG}",
    "ports: [{target: $COUNT, published: '${COUNT}'}, '${COUNT}:80']",
  ]),
  "variables, not in keys": service(["labels: {$TAG: a}"], "x-a: $TAG"),
  "variables, left as they are": {
    ...service(["hostname: ${TAG:-x}", "labels: {a: $UNSET, b: $$}"]),
    raw: true,
  },
};

const merging: Record<string, ComposeCase> = {
  "merge, words": over(["hostname: a", "user: a"], ["hostname: b"]),
  "merge, maps": over(
    ["environment: {A: 1, B: 2}", "labels: [a=b]"],
    ["environment: [B=3, C=4]", "labels: {c: d}"],
  ),
  "merge, lists": over(["dns: [1.1.1.1]", "cap_add: [A]"], ["dns: 2.2.2.2", "cap_add: [B]"]),
  "merge, commands": over(["command: a b", "entrypoint: [x]"], ["command: [c]"]),
  "merge, ports": over(['ports: ["80:80", "90:90"]'], ['ports: ["80:8080", "100:100"]']),
  "merge, volumes": over(["volumes: [/a:/x, /b:/y]"], ["volumes: [/c:/x]"]),
  "merge, secrets": over(
    ["secrets: [a, b]"],
    ["secrets: [{source: a, mode: 0400}]"],
    "secrets: {a: {external: true}, b: {external: true}}",
  ),
  "merge, secrets of another target": over(
    ["secrets: [a, b]"],
    ["secrets: [{source: a, target: c}]"],
    "secrets: {a: {external: true}, b: {external: true}}",
  ),
  "merge, deploy": over(
    ["deploy: {replicas: 2, labels: {a: b}, placement: {constraints: [a==b]}}"],
    ["deploy: {replicas: 5, labels: {c: d}, placement: {constraints: [c==d]}}"],
  ),
  "merge, logging of one driver": over(
    ["logging: {driver: a, options: {x: 1, yy: 2}}"],
    ["logging: {driver: a, options: {yy: 3}}"],
  ),
  "merge, logging of another driver": over(
    ["logging: {driver: a, options: {x: 1}}"],
    ["logging: {driver: b, options: {yy: 3}}"],
  ),
  "merge, ulimits": over(
    ["ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}"],
    ["ulimits: {nofile: 5}"],
  ),
  "merge, networks": over(
    ["networks: {a: {aliases: [one]}, b: }"],
    ["networks: {a: {aliases: [two]}, c: }"],
    "networks: {a: , b: , c: }",
  ),
  "merge, services and what stands at the top": {
    files: {
      "stack.yml": "services: {a: {image: a}}\nnetworks: {net: }\nsecrets: {s: {file: s.txt}}\n",
      "over.yml": "services: {b: {image: b}}\nvolumes: {v: }\nsecrets: {s: {external: true}}\n",
    },
  },
  "merge, three files": {
    files: {
      "stack.yml": "services: {a: {image: a, labels: {x: 1}}}\n",
      "over-1.yml": "services: {a: {image: b, labels: {yy: 2}}}\n",
      "over-2.yml": "services: {a: {image: c, labels: {x: 3}}}\n",
    },
  },
};

export const composeCases: Readonly<Record<string, ComposeCase>> = {
  ...keys,
  ...yaml,
  ...variables,
  ...merging,
};
