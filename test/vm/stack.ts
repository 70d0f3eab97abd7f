/**
 * The stack that runs on the machines: `front` is published and asks `back` over an encrypted network for each answer, so
 * that one request goes through all there is: a published port, a name, a virtual address, and a link between hosts.
 */
export const stackName = "shop";
export const publishedPort = 8080;

/**
 * What answers a request to `front`. The resolver of a program that is linked statically needs libraries that this image has
 * not: busybox asks for names with nslookup only.
 */
const ask = `#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
address=$$(nslookup -type=a back | sed -n '/^Name:/,$$ s/^Address: //p')
printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 20 "$$address" 8080 | tail -n 1
`;

/** As the first process of its container, httpd ignores being asked to end, and answers until it is made to. */
export const stackFile = `services:
  front:
    image: registry:5000/busybox:1
    command: httpd -f -p 8080 -h /www
    configs: [{source: ask, target: /www/cgi-bin/ask, mode: 0755}]
    networks: [inside]
    ports: ["${publishedPort}:8080"]
    stop_grace_period: 5s
    deploy:
      replicas: 3
      placement: {max_replicas_per_node: 2}
      resources: {limits: {memory: 64M, cpus: "0.5"}}
  back:
    image: registry:5000/busybox:1
    command: sh -c "mkdir -p /www && hostname >/www/index.html && exec httpd -f -p 8080 -h /www"
    networks: [inside]
    stop_grace_period: 5s
    deploy:
      replicas: 3
      placement: {max_replicas_per_node: 2}
networks:
  inside:
    driver: overlay
    driver_opts: {encrypted: ""}
configs:
  ask:
    content: ${JSON.stringify(ask)}
`;
