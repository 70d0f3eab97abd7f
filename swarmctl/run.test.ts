import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Fault } from "#proto/fault.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { version } from "#proto/version.ts";
import { nouns } from "./commands.ts";
import { topCommands } from "./host-commands.ts";
import { FakeCluster } from "./testing/fake-cluster.ts";
import { FakeControl } from "./testing/fake-control.ts";
import { type Outcome, runCli } from "./testing/run-cli.ts";

const nowhere = { runRoot: "/nowhere" };
const main = fileURLToPath(import.meta.resolve("./main.ts"));

/** The command as users run it: a process of its own. */
async function runProcess(argv: readonly string[]): Promise<Outcome> {
  const child = spawn(process.execPath, [main, ...argv], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  return { code, stdout, stderr };
}

describe("swarmctl", () => {
  const paths = [
    [],
    ...nouns.map((noun) => [noun.name]),
    ...nouns.flatMap((noun) => noun.verbs.map((verb) => [noun.name, verb.name])),
    ...topCommands.map((command) => [command.name]),
  ];
  for (const path of paths) {
    it(`explains itself: ${["swarmctl", ...path].join(" ")} --help`, async () => {
      const { code, stdout, stderr } = await runCli(nowhere, [...path, "--help"]);
      assert.equal(stderr, "");
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`^Usage: ${["swarmctl", ...path].join(" ")}`));
      assert.match(stdout, /--run-root/);
    });
  }

  it('takes "help x y" for "x y --help"', async () => {
    const { stdout } = await runCli(nowhere, ["help", "service", "ls"]);
    assert.match(stdout, /^Usage: swarmctl service ls/);
  });

  it("says its version", async () => {
    for (const flag of ["--version", "-v"]) {
      const { code, stdout } = await runCli(nowhere, [flag]);
      assert.deepEqual([code, stdout], [0, `swarmctl ${version}\n`]);
    }
  });

  it("explains many flags by what they are about", async () => {
    const { stdout } = await runCli(nowhere, ["service", "create", "--help"]);
    const [, ports = ""] = /\nPorts:\n(.*?)\n\n/s.exec(stdout) ?? [];
    assert.match(ports, /--publish/);
    assert.doesNotMatch(ports, /--env|--name|--context/);
    assert.match(stdout, /\nWhere the cluster is:\n *--run-root/);
  });

  it("says of a file that is not there that it is not", async () => {
    const { code, stderr } = await runCli(nowhere, ["service", "create", "--spec", "/nope"]);
    assert.deepEqual(
      [code, stderr],
      [1, 'swarmctl: Cannot read "/nope": no such file or folder\n'],
    );
  });

  const misuses: [string[], string][] = [
    ...[
      ["help", "servce"],
      ["servce", "--help"],
      ["--run-root", "/x", "servce", "--help"],
    ].map((argv): [string[], string] => [
      argv,
      'swarmctl: unknown command "servce", did you mean service?\nSee "swarmctl --help"\n',
    ]),
    ...[
      ["help", "service", "lss"],
      ["service", "lss", "--help"],
    ].map((argv): [string[], string] => [
      argv,
      'swarmctl: unknown command "lss", did you mean ls?\nSee "swarmctl service --help"\n',
    ]),
    [
      ["servce"],
      'swarmctl: unknown command "servce", did you mean service?\nSee "swarmctl --help"\n',
    ],
    [
      ["service", "lss"],
      'swarmctl: unknown command "lss", did you mean ls?\nSee "swarmctl service --help"\n',
    ],
    [
      ["service", "ls", "--quite"],
      'swarmctl: unknown flag --quite, did you mean --quiet?\nSee "swarmctl service ls --help"\n',
    ],
    [
      ["service", "create", "--replica", "3", "busybox"],
      'swarmctl: unknown flag --replica, did you mean --replicas?\nSee "swarmctl service create --help"\n',
    ],
    [
      ["service", "create", "--tty=maybe", "busybox"],
      "swarmctl: option '--tty' argument 'maybe' is invalid. Write true or false\nSee \"swarmctl service create --help\"\n",
    ],
    [
      ["service", "rm"],
      "swarmctl: missing required argument 'service'\nSee \"swarmctl service rm --help\"\n",
    ],
    [
      ["service", "ls", "--format", "xml"],
      "swarmctl: option '--format <format>' argument 'xml' is invalid. Write table, json or a template such as '{{.Name}}' or 'table {{.ID}}\\t{{.Name}}'\nSee \"swarmctl service ls --help\"\n",
    ],
    [
      ["service", "create", "--name", "web"],
      "swarmctl: missing required argument 'image'\nSee \"swarmctl service create --help\"\n",
    ],
    [
      ["service", "create", "--spec", "-", "--name", "web"],
      "swarmctl: '--spec' takes no '--name' beside it\nSee \"swarmctl service create --help\"\n",
    ],
    [
      ["cluster", "join", "10.0.0.1"],
      "swarmctl: required option '--token <token>' not specified\nSee \"swarmctl cluster join --help\"\n",
    ],
    ...["-1", "1.5", "three", ""].map((replicas): [string[], string] => [
      ["service", "create", "--name", "web", "--replicas", replicas, "busybox"],
      `swarmctl: option '--replicas <n>' argument '${replicas}' is invalid. Write a whole number of 0 or more\nSee "swarmctl service create --help"\n`,
    ]),
    [
      ["service", "scale", "web=many"],
      "swarmctl: command-argument value 'web=many' is invalid for argument 'service=replicas'. Write a whole number of 0 or more\nSee \"swarmctl service scale --help\"\n",
    ],
  ];
  for (const [argv, stderr] of misuses) {
    it(`refuses as wrong usage: ${argv.join(" ")}`, async () => {
      assert.deepEqual(await runCli(nowhere, argv), { code: 2, stdout: "", stderr });
    });
  }

  it("passes on what the manager refuses", async () => {
    const control = new FakeControl();
    const createService = async () => {
      throw new Fault("already-exists", 'Service "web" exists already: choose another name');
    };
    await using cluster = await FakeCluster.open({
      control: { ...control.handlers, createService },
    });
    assert.deepEqual(await runCli(cluster, ["service", "create", "--name", "web", "busybox"]), {
      code: 1,
      stdout: "",
      stderr: 'swarmctl: Service "web" exists already: choose another name\n',
    });
  });
});

describe("a fault with foreign words", () => {
  it("is told without what would steer the terminal, line by line", async () => {
    const control = new FakeControl();
    const createService = async () => {
      throw new Fault("not-found", "the registry says \u001b[2Jnothing\r\nand more");
    };
    await using cluster = await FakeCluster.open({
      control: { ...control.handlers, createService },
    });
    const { stderr } = await runCli(cluster, ["service", "create", "--name", "web", "busybox"]);
    assert.equal(stderr, "swarmctl: the registry says  [2Jnothing \nand more\n");
  });

  it("is told so of each of several objects", async () => {
    const removeService = async () => {
      throw new Fault("not-found", "none \u001b[2J");
    };
    await using cluster = await FakeCluster.open({ control: { removeService } });
    const { stderr } = await runCli(cluster, ["service", "rm", "a", "b"]);
    assert.equal(stderr, "swarmctl: none  [2J\nswarmctl: none  [2J\n");
  });
});

describe("a host without the socket that a command needs", () => {
  it("is said to run no swarmd", async () => {
    const { code, stderr } = await runCli(nowhere, ["service", "ls"]);
    assert.equal(code, 1);
    assert.equal(
      stderr,
      'swarmctl: Cannot reach swarmd at "/nowhere/swarmd.sock": is swarmd running? Start it, or name its run root with --run-root\n',
    );
  });

  it("says why its manager does not run, also beside the socket that it left", async () => {
    const managerError = 'log "log.db" is damaged';
    const getInfo = async () => ({ nodeId: "n", role: NodeRole.MANAGER, managerError });
    await using cluster = await FakeCluster.open({ node: { getInfo } });
    const server = spawn(process.execPath, [
      "-e",
      `require("node:net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`,
      join(cluster.runRoot, "manager.sock"),
    ]);
    await once(server, "exit");
    const { stderr } = await runCli(cluster, ["node", "ls"]);
    assert.equal(stderr, `swarmctl: This host's manager is not running: ${managerError}\n`);
  });

  it("names the managers where it is a worker", async () => {
    const managers = ["172.31.0.1:2377", "172.31.0.2:2377"];
    const node = { getInfo: async () => ({ nodeId: "n", managers }) };
    await using cluster = await FakeCluster.open({ node });
    const { stderr } = await runCli(cluster, ["node", "ls"]);
    assert.equal(
      stderr,
      "swarmctl: This host is not a manager; run the command on one of: 172.31.0.1:2377, 172.31.0.2:2377\n",
    );
  });

  it("is told to init or join where it belongs to no cluster", async () => {
    await using cluster = await FakeCluster.open({ node: { getInfo: async () => ({}) } });
    const { stderr } = await runCli(cluster, ["node", "ls"]);
    assert.match(stderr, /belongs to no cluster: run "swarmctl cluster init"/);
  });

  it("may not have a run root that no socket fits into", async () => {
    const { stderr } = await runCli({ runRoot: `/${"x".repeat(120)}` }, ["node", "ls"]);
    assert.match(stderr, /is too long for a socket path/);
  });

  it("does not hang on a manager that accepts and never answers", { timeout: 40_000 }, async () => {
    const runRoot = await mkdtemp(join(tmpdir(), "swarmctl-"));
    const sockets = new Set<Socket>();
    const server = createServer((socket) => sockets.add(socket));
    try {
      await once(server.listen(join(runRoot, "manager.sock")), "listening");
      const { code, stderr } = await runCli({ runRoot }, ["service", "ls"]);
      assert.equal(code, 1);
      assert.match(stderr, /^swarmctl: there was no answer within 22 s\n$/);
    } finally {
      for (const socket of sockets) socket.destroy();
      server.close();
      await rm(runRoot, { recursive: true });
    }
  });
});

describe("swarmctl as a process", () => {
  it("exits 0 with its help", async () => {
    const { code, stdout } = await runProcess(["--help"]);
    assert.equal(code, 0);
    assert.match(stdout, /^Usage: swarmctl/);
  });

  it("exits 1 when it fails and 2 when it is called wrongly", async () => {
    const failed = await runProcess(["--run-root", "/nowhere", "node", "ls"]);
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /^swarmctl: Cannot reach swarmd at "\/nowhere\/swarmd\.sock"/);
    assert.equal((await runProcess(["node", "lss"])).code, 2);
  });

  it("ends with Ctrl-C also while it waits for an answer", { timeout: 30_000 }, async () => {
    const child = spawn(process.execPath, [main, "network", "prune"], { stdio: "pipe" });
    await once(child.stderr, "data");
    child.kill("SIGINT");
    const [code, signal] = await once(child, "exit");
    assert.deepEqual([code, signal], [130, null]);
  });

  it("ends by itself after talking to a manager", async () => {
    await using cluster = await FakeCluster.open({ control: new FakeControl().handlers });
    const { code, stdout } = await runProcess(["service", "ls", "--run-root", cluster.runRoot]);
    assert.equal(stdout, "ID   NAME   MODE   REPLICAS   IMAGE   PORTS\n");
    assert.equal(code, 0);
  });
});
