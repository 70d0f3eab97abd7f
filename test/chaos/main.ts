/**
 * The clients of the chaos test, as one program on a virtual host of the LAN. What they are stands in its one argument, a
 * JSON object: Job. Each operation is a line on standard output, see operation.ts.
 *
 * Some clients choose another manager for each operation; besides, each manager has one that asks only it, and often: when
 * the first of these succeeds tells from when on the cluster was writable. When standard input ends, all finish what they
 * are at, and what became of every config is read once more.
 */
import { once } from "node:events";
import { Fault } from "#proto/fault.ts";
import { SeededRandom } from "#sim/random.ts";
import { Client, type ClientOptions, type Recorder } from "./client.ts";
import { Managers, type Target } from "./managers.ts";
import type { Operation } from "./operation.ts";
import { valueOfConfig } from "./registers.ts";

const roamingCount = 5;
const roaming = { deadlineMs: 3_000, pauseMs: 80 } as const;
/** Shorter, so that one which hangs on a dead manager does not hide that the next would succeed. */
const bound = { deadlineMs: 1_000, pauseMs: 30 } as const;

export interface Job {
  readonly seed: number;
  readonly target: Target;
  /** Names of services that all clients share. */
  readonly services: readonly string[];
}

const { seed, target, services } = JSON.parse(process.argv[2] ?? "") as Job;
const random = new SeededRandom(seed);
let counted = 0;
let lastValue = 0;
const recorder: Recorder = {
  count: () => (counted += 1),
  newValue: () => (lastValue += 1),
  configs: [],
  write: (operation: Operation) => process.stdout.write(`${JSON.stringify(operation)}\n`),
};

function newClient(options: ClientOptions): Client {
  return new Client(options, { managers: new Managers(target), random: random.fork(), recorder });
}

/** As one manager shows them. */
async function readAll(): Promise<void> {
  const [manager = ""] = target.addresses;
  using managers = new Managers(target);
  const called = { client: "last", manager, calledAt: recorder.count(), startedAtMs: Date.now() };
  const { configs } = await managers.control(manager).listConfigs({});
  const found = new Map(configs.map((config) => [config.spec?.annotations?.name, config]));
  const returned = { returnedAt: recorder.count(), endedAtMs: Date.now() };
  for (const register of recorder.configs) {
    const seen = valueOfConfig(found.get(register));
    const outcome = { kind: "done", seen } as const;
    recorder.write({ ...called, ...returned, register, request: { kind: "read" }, outcome });
  }
}

const clients = [
  ...Array.from({ length: roamingCount }, (_, at) =>
    newClient({ ...roaming, name: `client-${at + 1}`, manager: undefined, services }),
  ),
  ...target.addresses.map((manager, at) =>
    newClient({ ...bound, name: `bound-${at + 1}`, manager, services: [] }),
  ),
];
const stop = new AbortController();
const running = Promise.all(clients.map((client) => client.run(stop.signal)));
running.catch((thrown: unknown) => {
  process.stderr.write(`${Fault.from(thrown).message}\n`);
  process.exit(1);
});
await once(process.stdin.resume(), "close");
stop.abort();
await running;
await readAll();
process.stdout.write("", () => process.exit());
