/**
 * The stack that runs on the machines: `front` is published and asks `back` over an encrypted network for each answer, so
 * that one request goes through all there is: a published port, a name, a virtual address, and a link between hosts.
 */
export const stackName = "shop";
export const publishedPort = 8080;

const ask =
  "#!/bin/sh\\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\\nexec wget -qO- -T 20 http://back:8080/\\n";

function script(lines: readonly string[]): string {
  return JSON.stringify(["sh", "-c", lines.join(" && ")]);
}

/** As the first process of its container, httpd ignores being asked to end, and answers until it is made to. */
export const stackFile = `services:
  front:
    image: registry:5000/busybox:1
    command: ${script([
      "mkdir -p /www/cgi-bin",
      `printf "${ask.replaceAll('"', '\\"')}" >/www/cgi-bin/ask`,
      "chmod 755 /www/cgi-bin/ask",
      "exec httpd -f -p 8080 -h /www",
    ])}
    networks: [inside]
    ports: ["${publishedPort}:8080"]
    stop_grace_period: 5s
    deploy:
      replicas: 3
      placement: {max_replicas_per_node: 2}
      resources: {limits: {memory: 64M, cpus: "0.5"}}
  back:
    image: registry:5000/busybox:1
    command: ${script([
      "mkdir -p /www",
      "hostname >/www/index.html",
      "exec httpd -f -p 8080 -h /www",
    ])}
    networks: [inside]
    stop_grace_period: 5s
    deploy:
      replicas: 3
      placement: {max_replicas_per_node: 2}
networks:
  inside:
    driver: overlay
    driver_opts: {encrypted: ""}
`;
