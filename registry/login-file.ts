/** A config.json on disk as a source of logins. Read anew each time: logins change while daemons run. */
import { readFile } from "node:fs/promises";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Credentials } from "./credentials.ts";
import { findLogin, type Login, parseDockerConfig } from "./docker-config.ts";

type Helped = Login & { readonly kind: "helper" };

/** Asks a credential helper; where there is nobody to do that, logins that helpers keep are refused by name. */
export type AskHelper = (login: Helped) => Promise<Credentials | undefined>;

/** The login for the registry (HOST[:PORT]); undefined where the file has none, or is not there. */
export async function readLogin(
  path: string,
  registry: string,
  askHelper?: AskHelper,
): Promise<Credentials | undefined> {
  try {
    const bytes = await readIfThere(path);
    if (bytes === undefined) return undefined;
    const login = findLogin(parseDockerConfig(bytes), registry);
    if (login?.kind !== "helper") return login?.credentials;
    if (askHelper !== undefined) return await askHelper(login);
    throw new Fault(
      "unimplemented",
      `the helper "${login.name}" keeps the login for "${registry}", and daemons run no helpers: put the login itself into the file`,
    );
  } catch (thrown) {
    throw Fault.wrap(`Cannot read the logins in "${path}"`, thrown);
  }
}

/** Undefined: there is no such file. */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
}
