/** Whole applications as people write them for `docker stack deploy`. */
import type { ComposeCase } from "./compose-cases.ts";

const shop: ComposeCase = {
  files: {
    "stack.yml": `version: "3.8"

x-logging: &logging
  driver: json-file
  options: {max-size: 10m, max-file: "3"}

x-service: &service
  logging: *logging
  deploy: &deploy
    restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3}

services:
  proxy:
    <<: *service
    image: traefik:\${TAG}
    command:
      - --providers.docker.swarmMode=true
      - --entrypoints.web.address=:80
    ports:
      - target: 80
        published: 80
        mode: host
      - "8080:8080"
    volumes: [/var/run/docker.sock:/var/run/docker.sock:ro]
    networks: [front]
    deploy:
      <<: *deploy
      mode: global
      placement: {constraints: [node.role == manager]}
  web:
    <<: *service
    image: shop/web:\${TAG:-latest}
    environment:
      DATABASE_URL: postgres://shop@db/shop
      DEBUG: "false"
      WORKERS: \${COUNT}
    env_file: web.env
    secrets:
      - source: db_password
        target: /run/secrets/db
        mode: 0440
    configs: [web.conf]
    networks:
      front: {aliases: [shop]}
      back:
    healthcheck:
      test: [CMD-SHELL, "curl -fs localhost:8000/health || exit 1"]
      interval: 15s
      timeout: 3s
      retries: 5
      start_period: 30s
    deploy:
      <<: *deploy
      replicas: 3
      labels:
        - traefik.enable=true
        - traefik.http.routers.shop.rule=Host(\`shop.example.com\`)
      update_config: {parallelism: 1, delay: 10s, order: start-first, failure_action: rollback}
      rollback_config: {parallelism: 0}
      resources:
        limits: {cpus: "0.50", memory: 256M}
        reservations: {memory: 64M}
  db:
    <<: *service
    image: postgres:16
    environment: [POSTGRES_USER=shop, POSTGRES_PASSWORD_FILE=/run/secrets/db_password]
    secrets: [db_password]
    volumes: [db:/var/lib/postgresql/data]
    networks: [back]
    stop_grace_period: 1m
    deploy:
      <<: *deploy
      placement: {constraints: ["node.labels.db == true"], preferences: [spread: node.labels.zone]}

networks:
  front: {driver: overlay, attachable: true}
  back: {driver: overlay, internal: true, driver_opts: {encrypted: "true"}}
volumes:
  db: {driver: local, labels: {backup: daily}}
secrets:
  db_password: {file: ./secrets/db_password.txt}
configs:
  web.conf: {file: ./web.conf}
`,
    "web.env": "# of the web\nLANG=C.UTF-8\nDEBUG=true\nFROM_SHELL\n",
  },
};

const monitoring: ComposeCase = {
  files: {
    "stack.yml": `services:
  prometheus:
    image: prom/prometheus:v2.53.0
    command:
      - "--config.file=/etc/prometheus/prometheus.yml"
      - "--storage.tsdb.retention.time=\${RETENTION:-15d}"
    user: "65534:65534"
    configs:
      - source: prometheus
        target: /etc/prometheus/prometheus.yml
    volumes: [metrics:/prometheus]
    ports: ["9090:9090"]
    deploy: {replicas: 1, placement: {constraints: [node.role == manager]}}
  node-exporter:
    image: prom/node-exporter
    command: --path.rootfs=/host --collector.filesystem.mount-points-exclude="^/(sys|proc|dev)($$|/)"
    hostname: "{{.Node.Hostname}}"
    volumes:
      - {type: bind, source: /, target: /host, read_only: true, bind: {propagation: rslave}}
    deploy: {mode: global, resources: {limits: {memory: 128M}}}
  grafana:
    image: grafana/grafana
    environment: {GF_SECURITY_ADMIN_PASSWORD__FILE: /run/secrets/grafana, GF_USERS_ALLOW_SIGN_UP: "false"}
    secrets: [grafana]
    ports: [{target: 3000, published: 3000}]
    volumes: [dashboards:/var/lib/grafana]
    ulimits: {nofile: {soft: 65536, hard: 65536}}
volumes: {metrics: , dashboards: }
secrets: {grafana: {external: true, name: grafana-admin-2}}
configs: {prometheus: {file: ./prometheus.yml}}
networks: {default: {driver: overlay, ipam: {config: [{subnet: 10.77.0.0/24}]}}}
`,
  },
};

const queue: ComposeCase = {
  files: {
    "stack.yml": `services:
  broker:
    image: rabbitmq:3
    hostname: broker
    networks: [jobs]
    volumes: [broker:/var/lib/rabbitmq]
  worker:
    image: queue/worker:\${TAG}
    depends_on: [broker]
    environment: {QUEUE: default, BROKER: broker}
    networks: [jobs]
    stop_signal: SIGINT
    stop_grace_period: 2m
    init: true
    deploy: {replicas: 2}
networks: {jobs: }
volumes: {broker: }
`,
    "over-production.yml": `services:
  broker:
    deploy: {placement: {constraints: [node.labels.queue == true]}}
  worker:
    environment: [QUEUE=production, TRACE=]
    deploy:
      replicas: 12
      resources: {limits: {cpus: "1", memory: 512M}}
      update_config: {parallelism: 3, order: start-first}
    cap_drop: [ALL]
    read_only: true
    volumes: [{type: tmpfs, target: /tmp}]
  cleaner:
    image: queue/worker:\${TAG}
    command: clean --older-than 7d
    networks: [jobs]
    deploy: {mode: replicated-job, replicas: 1, restart_policy: {condition: none}}
`,
  },
};

export const applications: Readonly<Record<string, ComposeCase>> = { shop, monitoring, queue };
