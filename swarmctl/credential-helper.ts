/**
 * Programs that keep logins, `docker-credential-NAME`: told on stdin which server is meant, or what to keep, they answer
 * in JSON on stdout (github.com/docker/docker-credential-helpers).
 */
import { spawn } from "node:child_process";
import { Fault } from "#proto/fault.ts";
import type { Credentials } from "#registry/credentials.ts";
import type { Io } from "./io.ts";

export interface Helper {
  readonly name: string;
  /** As it knows the registry. */
  readonly server: string;
}

type Password = Credentials & { readonly kind: "password" };

/** It may ask the user something in a window of its own. */
const helperMs = 60_000;

/** The user's name for what is no password but a token. */
const tokenUser = "<token>";

/** Undefined: it has no login for the server. */
export async function askHelper(io: Io, helper: Helper): Promise<Credentials | undefined> {
  const { status, stdout } = await runHelper(io, helper, "get", helper.server);
  if (status !== 0) {
    if (stdout.includes("credentials not found")) return undefined;
    throw new Fault("failed-precondition", `${programOf(helper)} failed for "${helper.server}"`);
  }
  const { Username: username, Secret: secret } = readJson(stdout) ?? {};
  if (typeof username !== "string" || typeof secret !== "string") {
    throw new Fault("failed-precondition", `${programOf(helper)} did not answer with a login`);
  }
  if (username === tokenUser) return { kind: "identity-token", token: secret };
  return { kind: "password", username, password: secret };
}

function readJson(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    // The parser's words would repeat a part of the secret.
    return undefined;
  }
}

export async function storeWithHelper(io: Io, helper: Helper, login: Password): Promise<void> {
  const { username: Username, password: Secret } = login;
  const input = JSON.stringify({ ServerURL: helper.server, Username, Secret });
  const { status } = await runHelper(io, helper, "store", input);
  if (status !== 0) throw new Fault("failed-precondition", `${programOf(helper)} keeps no login`);
}

/** One that has no such login fails, too; there is none afterwards in either case. */
export async function eraseWithHelper(io: Io, helper: Helper): Promise<void> {
  await runHelper(io, helper, "erase", helper.server);
}

function programOf({ name }: Helper): string {
  return `docker-credential-${name}`;
}

/** Its stdout is for nobody's eyes: it may be the secret. */
function runHelper(
  { env, clock, signal }: Io,
  helper: Helper,
  verb: string,
  input: string,
): Promise<{ readonly status: number | null; readonly stdout: string }> {
  const program = programOf(helper);
  if (!/^[A-Za-z0-9_.-]+$/.test(helper.name)) {
    throw new Fault("failed-precondition", `"${helper.name}" is not a credential helper's name`);
  }
  return new Promise((resolve, reject) => {
    const child = spawn(program, [verb], {
      env: { ...env },
      signal,
      stdio: ["pipe", "pipe", "inherit"],
    });
    const timer = clock.timer(helperMs, () => {
      child.kill("SIGKILL");
      reject(new Fault("deadline-exceeded", `waited ${helperMs / 1000} s for ${program} ${verb}`));
    });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stdin.on("error", () => {});
    child.on("error", (error) => {
      timer[Symbol.dispose]();
      reject(
        Fault.wrap(`Cannot run ${program}, which keeps the login for "${helper.server}"`, error),
      );
    });
    child.on("close", (status) => {
      timer[Symbol.dispose]();
      resolve({ status, stdout: Buffer.concat(chunks).toString() });
    });
    child.stdin.end(input);
  });
}
