/** One real machine: what systemd, cgroup v2 and AppArmor do for containers, and what becomes of them when swarmd ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "#lab/wait.ts";
import { startOf } from "./life.ts";
import type { Machine } from "./machine.ts";
import { makePackage } from "./operator.ts";
import { part } from "./part.ts";
import { Site } from "./site.ts";

const installTimeoutMs = 600_000;
const settleTimeoutMs = 400_000;

/** As `service create` has it: memory.max in bytes, cpu.max in microseconds of each period. */
const limits = {
  flags: "--limit-memory 64M --limit-cpu 0.5",
  memory: "67108864",
  cpu: "50000 100000",
};

test("machines, a host with systemd, cgroup v2 and AppArmor", async (t) => {
  await using site = await Site.open({ machines: 1, onStep: (step) => t.diagnostic(step) });
  const machine = site.machine(1);
  const packageFile = await makePackage(site, "0.1.0");
  await machine.start();
  const ground = { t, site };

  await part(ground, "install.sh makes a node of it whose containers run confined", async () => {
    await install(machine, packageFile);
    await machine.run(`swarmctl cluster init --advertise-addr ${machine.address}`, {
      timeoutMs: installTimeoutMs,
    });
    await machine.run("swarmctl cluster update --dispatcher-heartbeat 5s");
    const command =
      "sh -c 'mkdir -p /www && hostname >/www/index.html && exec httpd -f -p 8080 -h /www'";
    const create = `swarmctl service create --detach --name web ${limits.flags} --publish 8080:8080`;
    await machine.run(`${create} registry:5000/busybox:1 ${command}`);
    await untilAnswers(machine);
    assert.equal(await containerFile(machine, "attr/current"), "swarm-default (enforce)");
  });
  await part(ground, "its limits are those of cgroup v2", async () => {
    const cgroup = `/sys/fs/cgroup${(await containerFile(machine, "cgroup")).replace("0::", "")}`;
    assert.equal((await machine.run(`cat ${cgroup}/memory.max`)).trim(), limits.memory);
    assert.equal((await machine.run(`cat ${cgroup}/cpu.max`)).trim(), limits.cpu);
  });
  await part(
    ground,
    "a container outlives swarmd's restart, its end, and its standstill",
    async () => {
      const before = await containerId(machine);
      await machine.run("systemctl restart swarmd", { timeoutMs: settleTimeoutMs });
      assert.equal(await containerId(machine), before);
      await untilAnswers(machine);
      const killed = await restarts(machine);
      await machine.run("systemctl kill --kill-whom=main --signal=KILL swarmd");
      await untilRestarted(machine, killed);
      assert.equal(await containerId(machine), before);
      const stopped = await restarts(machine);
      await machine.run("systemctl kill --kill-whom=main --signal=STOP swarmd");
      await untilRestarted(machine, stopped);
      assert.equal(await containerId(machine), before);
      const words = await machine.run("journalctl -u swarmd --no-pager -o cat");
      assert.match(words, /[Ww]atchdog timeout/);
      await untilAnswers(machine);
    },
  );
  await part(ground, "the journal has what swarmd says, each with its level", async (t) => {
    const said = await machine.run(
      "journalctl -u swarmd -o json --output-fields=PRIORITY,MESSAGE,_COMM",
    );
    const lines = said
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as JournalLine);
    const serves = lines.filter(({ MESSAGE }) => MESSAGE.includes("swarmd serves"));
    assert(serves.length > 0);
    assert(serves.every(({ PRIORITY, MESSAGE }) => PRIORITY === "6" && !MESSAGE.startsWith("<")));
    assert(lines.some(({ PRIORITY }) => PRIORITY === "4" || PRIORITY === "3"));
    for (const unit of ["swarmd", "swarm-containers"]) {
      const { stdout } = await machine.exec(
        `systemd-analyze --no-pager security ${unit} | tail -n 1`,
      );
      t.diagnostic(stdout.trim());
    }
  });
  await part(
    ground,
    "after a reboot without AppArmor the service is back, and runs without",
    async () => {
      await machine.shutDown();
      await machine.start({ kernel: ["apparmor=0"] });
      await untilAnswers(machine);
      assert.equal((await machine.run("cat /sys/module/apparmor/parameters/enabled")).trim(), "N");
    },
  );
});

/** Of `journalctl -o json`, what is used. */
interface JournalLine {
  readonly PRIORITY: string;
  readonly MESSAGE: string;
}

async function install(machine: Machine, packageFile: string): Promise<void> {
  await machine.put(packageFile, "/root/package.tar.gz");
  await machine.run("tar -xf /root/package.tar.gz -C /root && /root/swarm-*/install.sh", {
    timeoutMs: installTimeoutMs,
  });
}

async function untilAnswers(machine: Machine): Promise<void> {
  const script = "curl -fsS -m 10 http://127.0.0.1:8080/";
  const answers = async () => (await machine.exec(script)).status === 0;
  await waitFor("the service to answer", answers, { timeoutMs: settleTimeoutMs });
}

/** Process and moment of its start. */
async function containerId(machine: Machine): Promise<string> {
  return await machine.run(startOf("$(pgrep -xo httpd)"));
}

async function containerFile(machine: Machine, name: string): Promise<string> {
  return (await machine.run(`cat /proc/$(pgrep -xo httpd)/${name}`)).trim();
}

async function restarts(machine: Machine): Promise<number> {
  return Number(await machine.run("systemctl show --property=NRestarts --value swarmd"));
}

async function untilRestarted(machine: Machine, before: number): Promise<void> {
  const restarted = async () => {
    const active = await machine.exec("systemctl is-active --quiet swarmd");
    return active.status === 0 && (await restarts(machine)) > before;
  };
  await waitFor("swarmd to run again", restarted, { timeoutMs: settleTimeoutMs });
}
