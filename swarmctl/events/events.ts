/** `swarmctl events`: what happens in the cluster, as it happens, made here from the changes that a manager sends. */
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { type WatchResponse, WatchRequestSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { StoreActionKind } from "#proto/gen/swarm/v1/objects_pb.ts";
import { create } from "@bufbuild/protobuf";
import { msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import { complain } from "../complain.ts";
import type { Context, ControlClient } from "../context.ts";
import { flag } from "../flags/parse-flag.ts";
import { momentHelp, parseMomentMs } from "../flags/moment.ts";
import {
  addFilterFlag,
  filtered,
  type FilterFlag,
  type Filters,
  filterValues,
  hasLabel,
} from "../output/filter.ts";
import { type Format, parseFormat } from "../output/format.ts";
import { shownOn, visible } from "../output/table.ts";
import type { HappenedEvent, Kind, WatchedObject } from "./event.ts";
import { eventsOf } from "./events-of.ts";

const kinds = ["cluster", "node", "service", "task", "network", "secret", "config"] as const;

interface Options extends FilterFlag {
  readonly since?: number;
  readonly until?: number;
  readonly format?: Format;
}

interface Happening extends HappenedEvent {
  readonly atMs: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** An object is named by its ID, its beginning, or its name; a task also by its service's and its node's. */
function isOf(type: Kind, attribute?: string) {
  return (event: Happening, value: string) =>
    event.type === type
      ? event.id.startsWith(value) || event.attributes["name"] === value
      : attribute !== undefined && event.attributes[attribute] === value;
}

const filters: Filters<Happening> = {
  type: ({ type }, value) => type === value,
  // Docker's "health_status: healthy" is found by "health_status", too.
  event: ({ action }, value) => action === value || action.startsWith(`${value}:`),
  service: isOf("service", "service"),
  node: isOf("node", "node"),
  task: isOf("task"),
  network: isOf("network"),
  secret: isOf("secret"),
  config: isOf("config"),
  label: ({ labels }, value) => hasLabel(labels, value),
  scope: (_event, value) => value === "swarm",
};

export function define(command: Command, context: Context): void {
  const moment = flag((text: string) => parseMomentMs(text, context.io.clock.now()));
  addFilterFlag(command, Object.keys(filters))
    .option("--since <time>", `begin with what a manager remembers from ${momentHelp}`, moment)
    .option("--until <time>", "end then, rather than never", moment)
    .option(
      "--format <format>",
      "json, or a template: '{{.Type}} {{.Action}} {{.Actor.ID}}'",
      flag(parseFormat),
    )
    .action((options: Options) => events(context, options));
}

async function events(context: Context, options: Options): Promise<void> {
  const { io } = context;
  let control = await context.control();
  const ending = new AbortController();
  const leftMs = options.until === undefined ? undefined : options.until - io.clock.now();
  using _end = leftMs === undefined || leftMs <= 0 ? undefined : endAfter(context, leftMs, ending);
  const signal = AbortSignal.any([io.signal, ending.signal]);
  let since = options.since ?? (leftMs !== undefined && leftMs <= 0 ? 0 : undefined);
  const wanted = wantedKinds(options);
  for (;;) {
    const past = new Past();
    const request = create(WatchRequestSchema, {
      kinds: [...wanted],
      ...(since !== undefined && { since: timestampFromMs(since) }),
    });
    try {
      for await (const response of control.watch(request, { signal })) {
        const atMs = msFromTimestamp(response.committedAt);
        if (options.until !== undefined && atMs > options.until) return;
        if (atMs > 0) since = atMs;
        sayWhatIsMissing(context, response, options.since);
        print(context, options, past.take(response));
      }
      return;
    } catch (thrown) {
      if (ending.signal.aborted) return;
      const fault = Fault.from(thrown);
      if (signal.aborted) throw fault;
      since ??= io.clock.now();
      // Too slow for what happens: it goes on with what the manager remembers of it.
      if (fault.code === "resource-exhausted") continue;
      if (!fault.retryable) throw fault;
      complain(io, `${fault.message}: going on with the next manager that answers`);
      const next = await nextManager(context, signal);
      if (next !== undefined) control = next;
      else if (ending.signal.aborted) return;
      else throw fault;
    }
  }
}

/** Before each attempt to find one. */
const retryMs = 1_000;

/**
 * Of those of the context, or this host's when it is there again; what happened meanwhile it remembers. Undefined: nobody waits
 * for it any more.
 */
async function nextManager(
  context: Context,
  signal: AbortSignal,
): Promise<ControlClient | undefined> {
  for (;;) {
    await context.io.clock.sleep(retryMs, signal).catch(() => undefined);
    if (signal.aborted) return undefined;
    context.forgetManager();
    try {
      return await context.control();
    } catch (thrown) {
      if (!Fault.from(thrown).retryable) throw thrown;
    }
  }
}

function endAfter({ io }: Context, ms: number, ending: AbortController): Disposable {
  return io.clock.timer(ms, () => ending.abort(new Fault("canceled", "--until has come")));
}

/** Only what is asked for; nodes for the names of those that tasks are on. */
function wantedKinds(options: Options): readonly Kind[] {
  const types = filterValues(options, "type");
  const unknown = types.find((type) => !kinds.some((kind) => kind === type));
  if (unknown !== undefined) {
    const problem = `There are no events of type "${unknown}": there are ${kinds.join(", ")}`;
    throw new Fault("invalid-argument", problem);
  }
  if (types.length === 0) return kinds;
  return kinds.filter(
    (kind) => types.includes(kind) || (kind === "node" && types.includes("task")),
  );
}

function sayWhatIsMissing({ io }: Context, response: WatchResponse, since: number | undefined) {
  const rememberedMs = msFromTimestamp(response.rememberedSince);
  if (since === undefined || rememberedMs <= since) return;
  const from = new Date(rememberedMs).toISOString();
  io.stderr.write(`swarmctl: This manager remembers what happened since ${from}, not before\n`);
}

/** What each object was, so that a change of it can be told. */
class Past {
  readonly #objects = new Map<string, WatchedObject>();

  take({ events: changes, committedAt }: WatchResponse): readonly Happening[] {
    const atMs = msFromTimestamp(committedAt);
    return changes.flatMap(({ action }) => {
      const object = action?.object?.object;
      if (object?.case === undefined || object.case === "volume") return [];
      const key = `${object.case}/${object.value.id}`;
      const before = this.#objects.get(key);
      const after = action?.kind === StoreActionKind.REMOVE ? undefined : object;
      if (after === undefined) this.#objects.delete(key);
      else this.#objects.set(key, after);
      if (committedAt === undefined) return [];
      const labels = labelsOf(object);
      return eventsOf({ before: before ?? (after === undefined ? object : undefined), after }).map(
        (event) => ({ ...event, attributes: this.#named(event.attributes), atMs, labels }),
      );
    });
  }

  /** With the node's name beside its ID. */
  #named(attributes: HappenedEvent["attributes"]): HappenedEvent["attributes"] {
    const { node: nodeId } = attributes;
    if (nodeId === undefined) return attributes;
    const node = this.#objects.get(`node/${nodeId}`);
    const name = node?.case === "node" ? node.value.description?.hostname : undefined;
    return { ...attributes, node: name || nodeId, nodeId };
  }
}

function labelsOf(object: WatchedObject): Readonly<Record<string, string>> {
  const annotations =
    object.case === "task" ? object.value.serviceAnnotations : object.value.spec?.annotations;
  return annotations?.labels ?? {};
}

function print(context: Context, options: Options, happened: readonly Happening[]): void {
  for (const event of filtered(happened, options, filters)) {
    context.print(shownOn(context.io.stdout, formatEvent(event, options.format)));
  }
}

function formatEvent(event: Happening, format: Format | undefined): string {
  const { type, action, id, attributes, atMs } = event;
  const docker = {
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: attributes },
    Scope: "swarm",
    Time: Math.floor(atMs / 1000),
    TimeNano: atMs * 1e6,
  };
  if (typeof format === "object") {
    const actor = { ID: id, Attributes: new Map(Object.entries(attributes)) };
    return format.template.run({ ...docker, Actor: actor });
  }
  if (format === "json") {
    const { Scope: scope, Time: time, TimeNano: timeNano, ...rest } = docker;
    return JSON.stringify({ ...rest, scope, time, timeNano });
  }
  const time = new Date(atMs).toISOString().replace("Z", "000000Z");
  const words = Object.entries(attributes)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  return visible(`${time} ${type} ${action} ${id} (${words.join(", ")})`);
}
