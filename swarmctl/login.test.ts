import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parseRegistryAuth } from "#registry/credentials.ts";
import {
  account,
  accountAuth,
  startRegistry,
  type TestRegistry,
} from "#registry/testing/test-registry.ts";
import { FakeCluster } from "./testing/fake-cluster.ts";
import { FakeControl } from "./testing/fake-control.ts";
import { runCli } from "./testing/run-cli.ts";

const nowhere = { runRoot: "/nowhere" };

describe("login and logout", () => {
  const suite = new AsyncDisposableStack();
  let registry: TestRegistry;
  before(async () => {
    registry = suite.use(await startRegistry({ isPrivate: true }));
  });
  after(() => suite.disposeAsync());

  async function openHome(): Promise<
    AsyncDisposable & { env: Record<string, string>; path: string }
  > {
    const home = await mkdtemp(join(tmpdir(), "test-login-"));
    return {
      env: { HOME: home, PATH: `${home}:${process.env["PATH"] ?? ""}` },
      path: join(home, ".docker/config.json"),
      [Symbol.asyncDispose]: () => rm(home, { recursive: true }),
    };
  }

  const login = (env: Record<string, string>, stdin: string = account.password) => {
    const argv = ["login", "-u", account.username, "--password-stdin", registry.host];
    return runCli(nowhere, argv, { env, stdin: `${stdin}\n` });
  };

  it("verify the password, keep it for this user alone, and forget it", async () => {
    await using home = await openHome();
    const { env, path } = home;
    const outcome = await login(env);
    assert.deepEqual(outcome, {
      code: 0,
      stdout: "Login Succeeded\n",
      stderr: `The password is kept as it is in ${path}\n`,
    });
    const written = JSON.parse(await readFile(path, "utf8"));
    assert.deepEqual(written, { auths: { [registry.host]: { auth: accountAuth } } });
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    await runCli(nowhere, ["logout", `https://${registry.host}/v1/`], { env });
    assert.deepEqual(JSON.parse(await readFile(path, "utf8")), { auths: {} });
  });

  it("write nothing of a password that the registry refuses, nor show it", async () => {
    await using home = await openHome();
    const { code, stderr } = await login(home.env, "a wrong one");
    assert.equal(code, 1);
    assert.equal(
      stderr,
      `swarmctl: Cannot log in to "${registry.host}": the registry "${registry.host}" refuses the login of "user"\n`,
    );
    await assert.rejects(stat(home.path), { code: "ENOENT" });
  });

  it("leave what else is in the file, and refuse to replace what they cannot read", async () => {
    await using home = await openHome();
    const env = { ...home.env, DOCKER_CONFIG: home.env["HOME"] ?? "" };
    const path = join(env.DOCKER_CONFIG, "config.json");
    await writeFile(path, '{"HttpHeaders":{"a":"b"}}');
    await login(env);
    assert.deepEqual(JSON.parse(await readFile(path, "utf8")).HttpHeaders, { a: "b" });
    await writeFile(path, "{secret");
    const { code, stderr } = await login(env);
    assert.equal(code, 1);
    assert.match(stderr, /Cannot read the logins in ".*": it is not a JSON object\n$/);
  });

  it("hand the password to the helper that the file names, and ask it", async () => {
    await using home = await openHome();
    const { env } = home;
    const folder = env["HOME"] ?? "";
    const helper = join(folder, "docker-credential-test");
    const kept = join(folder, "kept");
    await writeFile(
      helper,
      `#!/bin/sh\ncase $1 in store) cat >${kept};; get) echo '{"Username":"<token>","Secret":"t"}';; esac\n`,
    );
    await chmod(helper, 0o755);
    await writeFile(join(folder, "config.json"), '{"credsStore":"test"}');
    const used = { ...env, DOCKER_CONFIG: folder };
    assert.deepEqual(await login(used), { code: 0, stdout: "Login Succeeded\n", stderr: "" });
    assert.deepEqual(JSON.parse(await readFile(kept, "utf8")), {
      ServerURL: registry.host,
      Username: account.username,
      Secret: account.password,
    });
    const auth = await sentAuth(used, `${registry.host}/app`);
    assert.deepEqual(parseRegistryAuth(auth), { kind: "identity-token", token: "t" });
  });

  it("are what --with-registry-auth gives away, and nothing else does", async () => {
    await using home = await openHome();
    await login(home.env);
    const auth = await sentAuth(home.env, `${registry.host}/app`);
    assert.deepEqual(parseRegistryAuth(auth), { kind: "password", ...account });
    assert.equal(await sentAuth(home.env, "elsewhere.test/app"), "");
    assert.equal(await sentAuth(home.env, `${registry.host}/app`, []), "");
  });

  async function sentAuth(
    env: Record<string, string>,
    image: string,
    flags = ["--with-registry-auth"],
  ): Promise<string> {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const argv = ["service", "create", "-d", "--name", "web", ...flags, image];
    const { code, stderr } = await runCli(cluster, argv, { env });
    assert.equal(code, 0, stderr);
    const [service] = control.services.values();
    const runtime = service?.spec?.task?.runtime;
    assert.ok(runtime?.case === "container");
    return runtime.value.pullOptions?.registryAuth ?? "";
  }

  for (const [argv, message] of [
    [["login", "--password-stdin", "a.test"], /--password-stdin needs --username/],
    [["login", "-u", "u", "-p", "p", "--password-stdin"], /not both/],
    [["login", "-u", "u", "-p", "p", "a b"], /"a b" is not a registry/],
    [["login", "-u", "u", "-p", "", "a.test"], /The password is empty/],
  ] as const) {
    it(`refuse "${argv.join(" ")}"`, async () => {
      const outcome = await runCli(nowhere, argv, { env: { HOME: "/nowhere" } });
      assert.equal(outcome.code, 1);
      assert.match(outcome.stderr, message);
    });
  }
});
