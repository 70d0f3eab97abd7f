/** Tests that share machines, one after the other: each begins with what the one before has left. */
import type { TestContext } from "node:test";
import { Fault } from "#proto/fault.ts";
import type { Site } from "./site.ts";

/** Rejects when the part fails, since those behind it cannot begin; says what the machines have to say about it. */
export async function part(
  { t, site }: { readonly t: TestContext; readonly site: Site },
  name: string,
  work: (t: TestContext) => Promise<void>,
): Promise<void> {
  let hasFailed = false;
  await t.test(name, async (part) => {
    try {
      await work(part);
    } catch (thrown) {
      hasFailed = true;
      await tell(part, site);
      throw thrown;
    }
  });
  if (hasFailed) throw new Fault("failed-precondition", `what follows needs "${name}"`);
}

async function tell(t: TestContext, site: Site): Promise<void> {
  for (const machine of site.machines.filter(({ isOn }) => isOn)) {
    const script = "uptime; systemctl --failed --no-legend; journalctl -u swarmd -n 40 --no-pager";
    const said = await machine.exec(script).catch(() => undefined);
    t.diagnostic(`${machine.name}: ${said?.stdout ?? machine.console()}`);
  }
}
