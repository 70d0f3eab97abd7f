import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, mkdtempDisposable, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runCli } from "../testing/run-cli.ts";

describe("stack config", () => {
  const nowhere = { runRoot: "/nowhere" };
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "stack-config-"));
    const write = (file: string, text: string) => writeFileSync(join(folder, file), text);
    write(
      "a.yml",
      "services: {web: {image: 'nginx:$TAG', ports: ['80:80'], labels: [price=$$5]}}\n",
    );
    write("b.yml", "services: {web: {hostname: h}, debug: {image: a, profiles: [debug]}}\n");
    write(".env", "TAG=1.27\n");
  });

  after(() => rmSync(folder, { recursive: true }));

  it("prints the files as one, with variables replaced, without asking a cluster", async () => {
    const files = ["-c", join(folder, "a.yml"), "-c", join(folder, "b.yml")];
    const { code, stdout, stderr } = await runCli(nowhere, ["stack", "config", ...files]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(
      stdout,
      [
        "services:",
        "  web:",
        "    hostname: h",
        "    image: nginx:1.27",
        "    labels:",
        "      price: $$5",
        "    ports:",
        "      - mode: ingress",
        "        target: 80",
        "        published: 80",
        "        protocol: tcp",
        "",
      ].join("\n"),
    );
    const debug = await runCli(nowhere, ["stack", "config", ...files, "--profile", "debug"]);
    assert.match(debug.stdout, / {2}debug:\n {4}image: a\n/);
  });

  it("reads of files that it names no more than a bound, and takes no folder for a .env", async () => {
    await using there = await mkdtempDisposable(join(tmpdir(), "stack-config-"));
    await mkdir(join(there.path, ".env"));
    const file = join(there.path, "stack.yml");
    await writeFile(file, "services: {web: {image: a, env_file: /dev/zero}}");
    assert.deepEqual(await runCli(nowhere, ["stack", "config", "-c", file]), {
      code: 1,
      stdout: "",
      stderr: `swarmctl: ${file}:1:38: services.web.env_file is refused: Cannot read "/dev/zero": it is larger than 10 MiB\n`,
    });
    const zero = await runCli(nowhere, ["stack", "config", "-c", "/dev/zero"]);
    assert.equal(zero.stderr, 'swarmctl: Cannot read "/dev/zero": it is larger than 10 MiB\n');
  });

  it("leaves variables as they are when asked to", async () => {
    const argv = ["stack", "config", "-c", join(folder, "a.yml"), "--skip-interpolation"];
    const { stdout } = await runCli(nowhere, argv);
    assert.match(stdout, /image: "?nginx:\$TAG"?\n/);
    assert.match(stdout, /price: \$\$5\n/);
  });

  it("reads stdin, and says what is not set", async () => {
    const stdin = "services: {web: {image: a, hostname: $NAME}}\n";
    const argv = ["stack", "config", "-c", "-"];
    const { stdout, stderr } = await runCli(nowhere, argv, { stdin });
    assert.match(stdout, /image: a\n/);
    assert.match(
      stderr,
      /^stdin:1:38: services\.web\.hostname names the variable "NAME", which is not set/,
    );
  });
});
