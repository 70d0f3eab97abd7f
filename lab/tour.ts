/**
 * The guided tour that `npm start` gives: each step does something to a real cluster, shows what comes of it in plain
 * words, and checks it. A step that does not come true throws, and its name is what the user is told.
 */
import { Fault } from "#proto/fault.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { ClusterView } from "./cluster-view.ts";
import type { Lab } from "./lab.ts";

const stackFile = new URL("../stacks/hello.yml", import.meta.url).pathname;
/** Three hosts may unpack an image onto one slow disk. */
const deployMs = 180_000;
const recoverMs = 20_000;
const webReplicas = 3;

export interface Tour {
  readonly lab: Lab;
  readonly view: ClusterView;
  readonly say: (line: string) => void;
}

export interface TourStep {
  readonly name: string;
  readonly run: (tour: Tour) => Promise<void>;
}

export const steps: readonly TourStep[] = [
  { name: "Deploying the stack stacks/hello.yml", run: deploy },
  { name: "client fetches http://web/ by name", run: askByName },
  { name: "Killing a container", run: killContainer },
  { name: "Cutting a host off the network", run: cutHost },
];

async function deploy({ lab, view, say }: Tour): Promise<void> {
  using _told = view.onChange(tellNews(view, say));
  say(
    await lab.host("h1").run("swarmctl", ["stack", "deploy", "-c", stackFile, "--detach", "hello"]),
  );
  const allRun = () =>
    view.running("hello_web").length === webReplicas && view.running("hello_client").length === 1;
  await view.until("all tasks to run", allRun, deployMs);
}

/** Says each task's state on its host when it is news: one line for what happens, more while an image is pulled. */
function tellNews(view: ClusterView, say: (line: string) => void): () => void {
  const told = new Map<string, string>();
  return () => {
    for (const task of [...view.tasks("hello_web"), ...view.tasks("hello_client")]) {
      const news = newsOf(task, view.hostnameOf(task));
      if (news === undefined || told.get(task.id) === news) continue;
      told.set(task.id, news);
      say(`${taskName(task).padEnd(15)} ${news}`);
    }
  };
}

function newsOf(task: Task, host: string): string | undefined {
  const { state, message, err } = task.status ?? {};
  if (err) return `${err} (on ${host})`;
  if (state === TaskState.PREPARING) return `${message} (on ${host})`;
  return state === TaskState.RUNNING ? `runs on ${host}` : undefined;
}

function taskName(task: Task): string {
  return `${task.serviceAnnotations?.name}.${task.slot}`;
}

async function askByName({ lab, view, say }: Tour): Promise<void> {
  const [client] = view.running("hello_client");
  if (client === undefined) throw new Fault("failed-precondition", "the client does not run");
  const home = view.hostnameOf(client);
  const others = view.running("hello_web").filter((task) => view.hostnameOf(task) !== home);
  const logs = lab.host("h1").spawn("swarmctl", ["service", "logs", "--raw", "-f", "hello_client"]);
  const answered = new Map<string, Task>();
  const answers = logs.stdout ?? [];
  const late = setTimeout(() => logs.kill(), recoverMs);
  try {
    let text = "";
    for await (const chunk of answers) {
      text += String(chunk);
      for (const task of view.running("hello_web")) {
        if (answered.has(task.id) || !text.includes(task.id.slice(0, 12))) continue;
        answered.set(task.id, task);
        say(
          `${taskName(client)} on ${home} got an answer from ${taskName(task)} on ${view.hostnameOf(task)}`,
        );
      }
      if (others.every((task) => answered.has(task.id))) return;
    }
  } finally {
    clearTimeout(late);
    logs.kill();
  }
  const missing = others.filter((task) => !answered.has(task.id)).map(taskName);
  throw new Fault("deadline-exceeded", `no answer came from ${missing.join(", ")}`);
}

async function killContainer({ lab, view, say }: Tour): Promise<void> {
  const [task] = view.running("hello_web");
  const pid = task?.status?.container?.pid;
  if (task === undefined || pid === undefined) {
    throw new Fault("failed-precondition", "no web task runs");
  }
  const host = view.hostnameOf(task);
  const attempt = task.status?.attempt ?? 0;
  await lab.host(host).run("kill", ["-9", String(pid)]);
  const killedAt = performance.now();
  const back = () =>
    view
      .running("hello_web")
      .some(({ id, status }) => id === task.id && (status?.attempt ?? 0) > attempt);
  await view.until("the container to be back", back, recoverMs);
  say(`${taskName(task)} on ${host} was killed and is back after ${elapsed(killedAt)}`);
}

async function cutHost({ lab, view, say }: Tour): Promise<void> {
  const victim = view
    .running("hello_web")
    .map((task) => view.hostnameOf(task))
    .find((host) => host !== "h1");
  if (victim === undefined) throw new Fault("failed-precondition", "every web task runs on h1");
  say(`${victim} is cut off; it runs ${namesOn(view, victim)}`);
  await lab.cut(victim);
  const cutAt = performance.now();
  const elsewhere = () => {
    const tasks = view.running("hello_web").filter((task) => view.hostnameOf(task) !== victim);
    return tasks.length === webReplicas && tasks;
  };
  const tasks = await view.until("its tasks to run elsewhere", elsewhere, recoverMs);
  say(`all ${tasks.length} web tasks run on other hosts after ${elapsed(cutAt)}`);
  await lab.heal();
  const returned = () =>
    view.nodes.some(
      ({ description, status }) =>
        description?.hostname === victim && status?.state === NodeState.READY,
    );
  const healedAt = performance.now();
  await view.until(`${victim} to be ready again`, returned, recoverMs);
  say(`${victim} is joined again and ready after ${elapsed(healedAt)}`);
}

function namesOn(view: ClusterView, host: string): string {
  const tasks = [...view.running("hello_web"), ...view.running("hello_client")];
  return tasks
    .filter((task) => view.hostnameOf(task) === host)
    .map(taskName)
    .join(", ");
}

function elapsed(sinceMs: number): string {
  const ms = performance.now() - sinceMs;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
