/** Files that Docker's CLI refuses, and ours does, with the place of what is wrong. */
import { type ComposeCase, caseOf, over, service } from "./compose-cases.ts";

interface Refusal extends ComposeCase {
  /** How ours begins: line, column and path. */
  readonly at: string;
}

function refusal(at: string, one: ComposeCase): Refusal {
  return { ...one, at };
}

export const refusals: Readonly<Record<string, Refusal>> = {
  "a key of a service": refusal("4:5: services.web.volumez", service(["volumez: [a]"])),
  "a key of the file": refusal("4:1: service ", service([], "service: {}")),
  "a key of deploy": refusal(
    "4:14: services.web.deploy.replica ",
    service(["deploy: {replica: 1}"]),
  ),
  "a list for a map": refusal("4:5: services.web.deploy ", service(["deploy: [a]"])),
  "a map for a list": refusal("4:5: services.web.ports ", service(["ports: {a: b}"])),
  "a number for a name": refusal(
    "3:5: services.web.image ",
    caseOf("services:", "  web:", "    image: 5"),
  ),
  "a word for a number": refusal(
    "4:14: services.web.deploy.replicas ",
    service(["deploy: {replicas: many}"]),
  ),
  "a service without a word": refusal("2:3: services.web ", caseOf("services:", "  web:")),
  "a port that is none": refusal("4:13: services.web.ports.0 ", service(["ports: ['80:http']"])),
  "ranges of other lengths": refusal(
    "4:13: services.web.ports.0 ",
    service(["ports: ['80-82:80-81']"]),
  ),
  "a mount without a target": refusal(
    "4:15: services.web.volumes.0 ",
    service(["volumes: ['/a:']"]),
  ),
  "a mount with an end of nothing": refusal(
    "4:15: services.web.volumes.0 ",
    service(["volumes: ['/a:/b:']"]),
  ),
  "an external secret of two names": refusal(
    "4:15: secrets.s ",
    service([], "secrets: {s: {external: {name: a}, name: b}}"),
  ),
  "a mount of four parts": refusal(
    "4:15: services.web.volumes.0 ",
    service(["volumes: ['/a:/b:ro:x']"]),
  ),
  "a duration without a unit": refusal(
    "4:24: services.web.stop_grace_period ",
    service(["stop_grace_period: '10'"]),
  ),
  "a size that is none": refusal(
    "4:43: services.web.deploy.resources.limits.memory ",
    service(["deploy: {resources: {limits: {memory: lots}}}"]),
  ),
  "an unfinished quote": refusal("4:14: services.web.command ", service([`command: "sh -c 'a"`])),
  "a variable that is required": refusal(
    "4:15: services.web.hostname needs",
    service(["hostname: ${UNSET:?say it}"]),
  ),
  "a variable that is not finished": refusal(
    "4:15: services.web.hostname holds",
    service(["hostname: ${TAG"]),
  ),
  "a dollar sign alone": refusal("4:15: services.web.hostname holds", service(["hostname: a$"])),
  "a tab": refusal("2:1: tab characters", caseOf("services:", "\tweb: {image: a}")),
  "an alias of nothing": refusal("3:", caseOf("services:", "  web:", "    image: *nothing")),
  "a second file that is no map": refusal("1:1: the file ", {
    files: { ...over([], []).files, "over.yml": "- a\n" },
  }),
  "an env file that is not there": refusal(
    "4:15: services.web.env_file ",
    service(["env_file: no.env"]),
  ),
};
