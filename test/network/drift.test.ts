/** What strangers break, repair() brings back; what is right, it does not touch. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemRandom } from "#proto/system-ports.ts";
import { Cluster } from "./cluster.ts";
import { type Command, type Damage, damages } from "./damages.ts";
import { type HostPicture, hostPicture, pictureDifference } from "./host-picture.ts";
import { changesDuring } from "./kernel-changes.ts";
import { farAddress, hostAddress } from "./lan.ts";

describe("network, drift", { concurrency: false }, () => {
  let cluster: Cluster;
  /** As it was after the last repair. */
  let whole: HostPicture;
  before(async () => {
    cluster = await Cluster.open();
    whole = await picture();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const namespace = () => cluster.host(1).namespace;
  const picture = () => hostPicture(namespace());
  const repair = () => cluster.host(1).call({ kind: "repair" });
  const run = ([program, ...args]: Command) => namespace().run(program, args);

  for (const damage of damages) {
    test(`${damage.what} that a stranger changes is as before after a repair`, async () => {
      const chosen = await choose(damage);
      assert(chosen !== undefined, `there is no ${damage.what}`);
      await run(chosen);
      const words = chosen.join(" ");
      const broken = pictureDifference(whole, await picture());
      assert.notDeepEqual(broken, [], `control: ${words} changes nothing`);
      await repair();
      assert.deepEqual(await differenceNow(), [], `${words}: ${broken.join(", ")}`);
    });
  }

  test("after much damage at once everything is as before, and tasks and ports answer", async () => {
    for (let blow = 0; blow < 12; blow += 1) {
      const damage = damages[systemRandom.int(damages.length)];
      // What the blow before took may be what this one wants.
      const chosen = damage && (await choose(damage).catch(() => undefined));
      if (chosen !== undefined) await run(chosen).catch(() => {});
    }
    await repair();
    assert.deepEqual(await differenceNow(), []);
    assert.equal(await cluster.probe("a1").ask("tcp", "10.100.1.12", 80), "a2 10.100.1.11");
    assert.equal(await cluster.probe("far").ask("udp", hostAddress(1), 9092), `c2 ${farAddress}`);
  });

  test("repair() and apply() of what is right change nothing in the kernel", async () => {
    const host = cluster.host(1);
    const changes = await changesDuring(namespace(), async () => {
      await repair();
      await host.call({ kind: "apply", state: cluster.state(host) });
    });
    assert.deepEqual(changes, []);
    const loud = await changesDuring(namespace(), async () => {
      await run(["ip", "rule", "del", "pref", "100"]);
      await repair();
    });
    assert.notDeepEqual(loud, [], "control: a repair of something is seen");
  });

  /** To what was before; what is now is the next one's before. */
  async function differenceNow(): Promise<readonly string[]> {
    const now = await picture();
    const difference = pictureDifference(whole, now);
    whole = now;
    return difference;
  }

  async function choose({ choices }: Damage): Promise<Command | undefined> {
    const possible = await choices(namespace());
    return possible[systemRandom.int(Math.max(1, possible.length))];
  }
});
