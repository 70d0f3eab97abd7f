import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "./context.ts";
import { readText } from "./read-file.ts";
import { readAnswer, readSecret } from "./read-secret.ts";
import { parseServer, saveLogin } from "./registry-login.ts";

interface Options {
  readonly username?: string;
  readonly password?: string;
  readonly passwordStdin?: true;
  readonly insecure?: true;
}

export function define(command: Command, context: Context): void {
  command
    .argument("[server]", "HOST[:PORT] of the registry; Docker's own where it is left out")
    .option("-u, --username <name>", "who you are there")
    .option("-p, --password <password>", "seen by all users of this host: rather use the next")
    .option("--password-stdin", "read the password from stdin")
    .option("--insecure", "take plain HTTP, or a certificate that nobody vouches for")
    .action(async (server: string | undefined, options: Options) => {
      const registry = parseServer(server);
      const { username, password } = await readCredentials(context, options);
      const login = { kind: "password", username, password } as const;
      await check(context, registry, { login, insecure: options.insecure === true });
      const path = await saveLogin(context.io, registry, login);
      if (path !== undefined) {
        context.io.stderr.write(`The password is kept as it is in ${path}\n`);
      }
      context.print("Login Succeeded");
    });
}

async function readCredentials(context: Context, options: Options) {
  const { io } = context;
  const { password: given, passwordStdin } = options;
  if (given !== undefined && passwordStdin) {
    throw new Fault("invalid-argument", "Give --password or --password-stdin, not both");
  }
  if (passwordStdin && options.username === undefined) {
    throw new Fault("invalid-argument", "--password-stdin needs --username");
  }
  const username = options.username ?? (await readAnswer(io, "Username: "));
  if (username === "") throw new Fault("invalid-argument", "The username is empty");
  const password = given ?? (await readPassword(context, options));
  if (password === "") throw new Fault("invalid-argument", "The password is empty");
  return { username, password };
}

/** Piped in, it may be a token of several kilobytes, or a key of several lines. */
async function readPassword({ io }: Context, { passwordStdin }: Options): Promise<string> {
  if (!passwordStdin) return await readSecret(io, "Password: ");
  return (await readText(io, "-")).replace(/\r?\n$/, "");
}

async function check(
  { io }: Context,
  registry: string,
  {
    login,
    insecure,
  }: {
    readonly login: { kind: "password"; username: string; password: string };
    readonly insecure: boolean;
  },
): Promise<void> {
  const { Registry } = await import("#registry/registry.ts");
  const { parseRegistryFlags } = await import("#registry/flags.ts");
  const { formatRegistryAuth } = await import("#registry/credentials.ts");
  const { systemRandom } = await import("#proto/system-ports.ts");
  const { credentialsFile: _, ...settings } = parseRegistryFlags(
    { "insecure-registry": insecure ? [registry] : [] },
    io.env,
  );
  using client = new Registry(settings, { clock: io.clock, random: systemRandom });
  const registryAuth = formatRegistryAuth(login, registry);
  try {
    await client.checkLogin(registry, { signal: io.signal, registryAuth });
  } catch (thrown) {
    throw Fault.wrap(`Cannot log in to "${registry}"`, thrown);
  }
}
