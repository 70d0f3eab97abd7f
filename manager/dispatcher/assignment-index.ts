/**
 * What every node must run and know, folded from commits with an index per network and per node, so that a commit costs
 * what it changes and not what the cluster holds.
 *
 * Tells listeners which items of which node's set may have changed; whoever sends looks up at that moment what they are
 * now. Invariant: after each commit, a node's items are what a scan of the store would give, and every item that differs
 * from before the commit was told to that node's listener.
 */
import { equals } from "@bufbuild/protobuf";
import {
  type Assignment,
  type NetworkEndpoint,
  NetworkEndpointSchema,
  type Peer,
  PeerSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Change } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isAssigned } from "../task.ts";
import { ChangeEncoder } from "./change-encoder.ts";
import { FileUses } from "./file-uses.ts";
import {
  assignment,
  configItem,
  endpointOf,
  fileKeysOf,
  isOnNetworks,
  type ItemKey,
  peerOf,
  secretItem,
} from "./items.ts";
import { narrowed } from "./service-endpoint.ts";
import { ServiceIndex, type ServiceNews } from "./service-index.ts";

/** Takes note of one item; called from the store's listener. */
export type ItemListener = (key: ItemKey) => void;

export class AssignmentIndex {
  /** For all streams of these items. */
  readonly encoder = new ChangeEncoder();
  readonly #view: View;
  /** Assigned tasks by node, those that ended too. */
  readonly #tasks = new Map<string, Map<string, Task>>();
  /** Network → node → number of its tasks on the network. */
  readonly #members = new Map<string, Map<string, number>>();
  /** Network → endpoint ID → endpoint. */
  readonly #endpoints = new Map<string, Map<string, NetworkEndpoint>>();
  /** Service → its endpoints, on whatever network: endpoint ID → network. */
  readonly #backends = new Map<string, Map<string, string>>();
  readonly #services: ServiceIndex;
  readonly #peers = new Map<string, Peer>();
  readonly #files = new FileUses((nodeId, key) => this.#tell(nodeId, key));
  readonly #listeners = new Map<string, ItemListener>();

  constructor(view: View) {
    this.#view = view;
    this.#services = new ServiceIndex(view);
    for (const node of view.list("node")) this.#onNode(undefined, node);
    for (const task of view.list("task")) this.#onTask(undefined, task);
  }

  /** One listener per node: a node has one assignment stream. */
  listen(nodeId: string, listener: ItemListener): Disposable {
    this.#listeners.set(nodeId, listener);
    return {
      [Symbol.dispose]: () => {
        if (this.#listeners.get(nodeId) === listener) this.#listeners.delete(nodeId);
      },
    };
  }

  /**
   * Everything in a node's set. What tasks need comes before the tasks, for the sake of sets that are cut into several
   * messages: files, other nodes, networks, and the services and endpoints there.
   */
  *keys(nodeId: string): Iterable<ItemKey> {
    yield* this.#files.keysOf(nodeId);
    for (const peerId of this.#peers.keys()) if (peerId !== nodeId) yield `peer:${peerId}`;
    // A service or a network may be there for two reasons.
    const keys = new Set(this.#publishedKeys());
    for (const [networkId, members] of this.#members) {
      if (members.has(nodeId)) for (const key of this.#networkKeys(networkId)) keys.add(key);
    }
    yield* keys;
    for (const taskId of this.#tasks.get(nodeId)?.keys() ?? []) yield `task:${taskId}`;
  }

  /** An item of a node's set as it is now; undefined when it is not in the set. */
  item(nodeId: string, key: ItemKey): Assignment | undefined {
    const cut = key.indexOf(":");
    const id = key.slice(cut + 1);
    switch (key.slice(0, cut)) {
      case "task": {
        const value = this.#tasks.get(nodeId)?.get(id);
        return value && assignment({ case: "task", value });
      }
      case "network": {
        const has = this.#isMember(nodeId, id) || this.#services.isPublished(id);
        const value = has ? this.#view.get("network", id) : undefined;
        return value && assignment({ case: "network", value });
      }
      case "endpoint": {
        const networkId = id.slice(id.indexOf("/") + 1);
        const value = this.#endpoints.get(networkId)?.get(id);
        const has = value && (this.#isMember(nodeId, networkId) || this.#isPublished(value));
        return has ? assignment({ case: "endpoint", value }) : undefined;
      }
      case "service": {
        const service = this.#services.get(id);
        const value =
          service && narrowed(service, (networkId) => this.#isMember(nodeId, networkId));
        return value && assignment({ case: "service", value });
      }
      case "peer": {
        const value = id === nodeId ? undefined : this.#peers.get(id);
        return value && assignment({ case: "peer", value });
      }
      case "secret": {
        const value = this.#files.has(nodeId, `secret:${id}`)
          ? this.#view.get("secret", id)
          : undefined;
        return value && assignment({ case: "secret", value: secretItem(value) });
      }
      case "config": {
        const value = this.#files.has(nodeId, `config:${id}`)
          ? this.#view.get("config", id)
          : undefined;
        return value && assignment({ case: "config", value: configItem(value) });
      }
      default:
        return undefined;
    }
  }

  onChange(change: Change): void {
    if (change.kind === "task") this.#onTask(change.before, change.after);
    else if (change.kind === "node") this.#onNode(change.before, change.after);
    else if (change.kind === "network") this.#onNetwork(change.before, change.after);
    else if (change.kind === "service") {
      this.#onServiceNews(this.#services.onService(change.before, change.after));
    } else if (change.kind === "secret" || change.kind === "config") {
      this.#files.onChange(`${change.kind}:${(change.after ?? change.before)?.id ?? ""}`);
    }
  }

  /**
   * A node is told of what a task needs before the task, and of a task's end before what it needed: a message may be cut
   * anywhere between.
   */
  #onTask(before: Task | undefined, after: Task | undefined): void {
    const had = before !== undefined && isAssigned(before) ? before : undefined;
    const has = after !== undefined && isAssigned(after) ? after : undefined;
    const task = has ?? had;
    if (task === undefined) return;
    if (had !== undefined && had.nodeId !== has?.nodeId) {
      removeFrom(this.#tasks, had.nodeId, had.id);
      this.#tell(had.nodeId, `task:${had.id}`);
    }
    if (has !== undefined) putInto(this.#tasks, has.nodeId, has.id, has);
    this.#files.move(use(had), use(has));
    this.#move(had, has);
    this.#refreshEndpoints(task);
    if (has === undefined) return;
    // The agent wrote the status itself: only what a manager decided is news to it.
    const isNews = had?.nodeId !== has.nodeId || had.desiredState !== has.desiredState;
    if (isNews) this.#tell(has.nodeId, `task:${has.id}`);
  }

  /** A node is on the networks of its tasks. */
  #move(before: Task | undefined, after: Task | undefined): void {
    const had = before !== undefined && isOnNetworks(before) ? before : undefined;
    const has = after !== undefined && isOnNetworks(after) ? after : undefined;
    if (had?.nodeId === has?.nodeId) return;
    if (had !== undefined) this.#leave(had);
    if (has !== undefined) this.#enter(has);
  }

  #enter(task: Task): void {
    for (const networkId of networkIdsOf(task)) {
      const count = this.#members.get(networkId)?.get(task.nodeId) ?? 0;
      putInto(this.#members, networkId, task.nodeId, count + 1);
      if (count === 0) this.#tellNetwork(task.nodeId, networkId);
    }
  }

  #leave(task: Task): void {
    for (const networkId of networkIdsOf(task)) {
      const count = this.#members.get(networkId)?.get(task.nodeId) ?? 0;
      if (count > 1) putInto(this.#members, networkId, task.nodeId, count - 1);
      else {
        removeFrom(this.#members, networkId, task.nodeId);
        this.#tellNetwork(task.nodeId, networkId);
      }
    }
  }

  #refreshEndpoints(task: Task): void {
    const current = this.#tasks.get(task.nodeId)?.get(task.id);
    const node = this.#view.get("node", task.nodeId);
    for (const attachment of task.networks) {
      const networkId = attachment.network?.id ?? "";
      const id = `${task.id}/${networkId}`;
      const before = this.#endpoints.get(networkId)?.get(id);
      const after = current && endpointOf(current, attachment, node);
      if (before !== undefined && after !== undefined) {
        if (equals(NetworkEndpointSchema, before, after)) continue;
      } else if (before === after) continue;
      if (after === undefined) {
        removeFrom(this.#endpoints, networkId, id);
        removeFrom(this.#backends, task.serviceId, id);
      } else {
        putInto(this.#endpoints, networkId, id, after);
        putInto(this.#backends, task.serviceId, id, networkId);
      }
      if (this.#publishedNetworkOf(task.serviceId) === networkId) this.#tellAll(`endpoint:${id}`);
      else this.#tellMembers(networkId, `endpoint:${id}`);
    }
  }

  #onNode(before: Node | undefined, after: Node | undefined): void {
    const id = (after ?? before)?.id;
    if (id === undefined) return;
    this.#refreshPeer(id, after && peerOf(after));
    if (before?.status?.state === after?.status?.state && after !== undefined) return;
    for (const task of this.#tasks.get(id)?.values() ?? []) this.#refreshEndpoints(task);
  }

  #refreshPeer(nodeId: string, after: Peer | undefined): void {
    const before = this.#peers.get(nodeId);
    if (before !== undefined && after !== undefined && equals(PeerSchema, before, after)) return;
    if (after === undefined) this.#peers.delete(nodeId);
    else this.#peers.set(nodeId, after);
    for (const listener of this.#listeners.keys()) {
      if (listener !== nodeId) this.#tell(listener, `peer:${nodeId}`);
    }
  }

  #onNetwork(before: Network | undefined, after: Network | undefined): void {
    const id = (after ?? before)?.id ?? "";
    if (this.#services.isPublished(id)) this.#tellAll(`network:${id}`);
    else this.#tellMembers(id, `network:${id}`);
    for (const news of this.#services.onNetwork(before, after)) this.#onServiceNews(news);
  }

  #onServiceNews(news: ServiceNews | undefined): void {
    if (news === undefined) return;
    const { id, before, after } = news;
    const had = before?.publishedNetworkId ?? "";
    const has = after?.publishedNetworkId ?? "";
    if (had !== "" || has !== "") this.#tellAll(`service:${id}`);
    else {
      for (const { networkId } of [...(before?.networks ?? []), ...(after?.networks ?? [])]) {
        this.#tellMembers(networkId, `service:${id}`);
      }
    }
    if (had === has) return;
    for (const networkId of [had, has]) if (networkId !== "") this.#tellAll(`network:${networkId}`);
    for (const [endpointId, networkId] of this.#backends.get(id) ?? []) {
      if (networkId === had || networkId === has) this.#tellAll(`endpoint:${endpointId}`);
    }
  }

  /** A node came onto a network or left it. */
  #tellNetwork(nodeId: string, networkId: string): void {
    if (!this.#listeners.has(nodeId)) return;
    for (const key of this.#networkKeys(networkId)) this.#tell(nodeId, key);
  }

  *#networkKeys(networkId: string): Iterable<ItemKey> {
    yield `network:${networkId}`;
    for (const id of this.#services.ofNetwork(networkId)) yield `service:${id}`;
    for (const id of this.#endpoints.get(networkId)?.keys() ?? []) yield `endpoint:${id}`;
  }

  /** What every node has. */
  *#publishedKeys(): Iterable<ItemKey> {
    for (const networkId of this.#services.publishedNetworks()) yield `network:${networkId}`;
    for (const serviceId of this.#services.published()) {
      yield `service:${serviceId}`;
      const published = this.#publishedNetworkOf(serviceId);
      for (const [id, networkId] of this.#backends.get(serviceId) ?? []) {
        if (networkId === published) yield `endpoint:${id}`;
      }
    }
  }

  /** Where the service's ports lead; undefined: it has none that every node must know. */
  #publishedNetworkOf(serviceId: string): string | undefined {
    return this.#services.get(serviceId)?.publishedNetworkId || undefined;
  }

  #isPublished({ serviceId, networkId }: NetworkEndpoint): boolean {
    return this.#publishedNetworkOf(serviceId) === networkId;
  }

  #isMember(nodeId: string, networkId: string): boolean {
    return this.#members.get(networkId)?.has(nodeId) ?? false;
  }

  #tellAll(key: ItemKey): void {
    for (const nodeId of this.#listeners.keys()) this.#tell(nodeId, key);
  }

  #tellMembers(networkId: string, key: ItemKey): void {
    for (const nodeId of this.#members.get(networkId)?.keys() ?? []) this.#tell(nodeId, key);
  }

  #tell(nodeId: string, key: ItemKey): void {
    this.#listeners.get(nodeId)?.(key);
  }
}

/** What of secrets and configs the task's node must have for it. */
function use(task: Task | undefined) {
  return task === undefined ? undefined : { nodeId: task.nodeId, keys: fileKeysOf(task) };
}

function networkIdsOf(task: Task): ReadonlySet<string> {
  return new Set(task.networks.map(({ network }) => network?.id ?? ""));
}

function putInto<K, V>(maps: Map<string, Map<K, V>>, name: string, key: K, value: V): void {
  const map = maps.get(name);
  if (map === undefined) maps.set(name, new Map([[key, value]]));
  else map.set(key, value);
}

function removeFrom<K, V>(maps: Map<string, Map<K, V>>, name: string, key: K): void {
  const map = maps.get(name);
  map?.delete(key);
  if (map?.size === 0) maps.delete(name);
}
