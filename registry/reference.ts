/**
 * Image names as everybody writes them ("nginx", "registry:5000/team/app:2@sha256:…") and the one full form that each of
 * them stands for. The grammar is that of github.com/distribution/reference. Pure.
 */
import { Fault } from "#proto/fault.ts";
import { parseDigest } from "./digest.ts";

export interface Reference {
  /** Host and optional port: "docker.io", "registry:5000". */
  readonly registry: string;
  /** "library/nginx" */
  readonly repository: string;
  readonly tag?: string;
  /** Where both are given, the digest decides and the tag is only for people. */
  readonly digest?: string;
}

const registryDefault = "docker.io";
const tagDefault = "latest";
const nameCharactersMax = 255;

const registryPattern =
  /^(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*)(?::[0-9]+)?$/;
const componentPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$/;

export function parseReference(text: string): Reference {
  if (text === "") throw refusal(text, "it is empty");
  const [named, digest] = splitDigest(text);
  const [name, tag] = splitTag(named);
  if (tag !== undefined && !tagPattern.test(tag)) {
    throw refusal(
      text,
      `the tag "${tag}" may have letters, digits, "_", "." and "-", at most 128, and starts with a letter, digit or "_"`,
    );
  }
  return {
    ...parseName(text, name),
    ...(tag === undefined && digest === undefined ? { tag: tagDefault } : {}),
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The full form: two texts name the same image exactly when their full forms are equal. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

function splitDigest(text: string): [named: string, digest: string | undefined] {
  const at = text.indexOf("@");
  if (at < 0) return [text, undefined];
  try {
    return [text.slice(0, at), parseDigest(text.slice(at + 1))];
  } catch (error) {
    throw Fault.wrap(`invalid image "${text}"`, error);
  }
}

/** A colon after the last slash starts a tag; one before it belongs to the registry's port. */
function splitTag(named: string): [name: string, tag: string | undefined] {
  const colon = named.lastIndexOf(":");
  if (colon <= named.lastIndexOf("/")) return [named, undefined];
  return [named.slice(0, colon), named.slice(colon + 1)];
}

function parseName(text: string, name: string): { registry: string; repository: string } {
  if (name === "") throw refusal(text, "it has no name");
  if (/^[0-9a-f]{64}$/.test(name)) {
    throw refusal(text, "64 hexadecimal digits are an image ID, not a name");
  }
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const hasRegistry = /[.:A-Z]/.test(first) || first === "localhost";
  const registry = hasRegistry ? officialRegistry(first) : registryDefault;
  if (!registryPattern.test(registry)) {
    throw refusal(text, `"${registry}" is not a registry's HOST or HOST:PORT`);
  }
  const path = hasRegistry ? name.slice(slash + 1) : name;
  for (const component of path.split("/")) checkComponent(text, component);
  const repository = registry === registryDefault && !path.includes("/") ? `library/${path}` : path;
  if (registry.length + 1 + repository.length > nameCharactersMax) {
    throw refusal(text, `its name has more than ${nameCharactersMax} characters`);
  }
  return { registry, repository };
}

function officialRegistry(host: string): string {
  return host === "index.docker.io" ? registryDefault : host;
}

function checkComponent(text: string, component: string): void {
  if (componentPattern.test(component)) return;
  if (component === "") throw refusal(text, "a part of its name between slashes is empty");
  if (/[A-Z]/.test(component)) throw refusal(text, `"${component}" must be in lower case`);
  throw refusal(
    text,
    `"${component}" may have lower-case letters and digits, with ".", "_", "__" or "-" between them`,
  );
}

function refusal(text: string, why: string): Fault {
  return new Fault("invalid-argument", `invalid image "${text}": ${why}`);
}
