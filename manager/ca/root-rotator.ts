/** The loop that carries a change of the cluster's root through. Owns `RootCa.rootRotation` and, at its end, the root. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type Cluster,
  JoinTokensSchema,
  type RootCa,
  type RootRotation,
  RootRotationSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { certificateDigest } from "#proto/tls/certificate.ts";
import { clusterOf } from "../cluster.ts";
import { Loop } from "../loop.ts";
import type { Store } from "../store/store.ts";
import { type Authority, checkRoot, createRoot, crossSign } from "./authority.ts";
import { newJoinTokens } from "./join-token.ts";
import { planRotation, type RotationStep } from "./plan-rotation.ts";

/** Nodes renew and report one by one. */
const gatherMs = 100;

export interface RootRotatorModules extends Ports {
  readonly store: Store;
}

type Start = Extract<RotationStep, { readonly kind: "start" }>;

export class RootRotator implements AsyncDisposable {
  readonly #modules: RootRotatorModules;
  readonly #loop: Loop;
  readonly #watch: Disposable;
  /** The root that could not be used, so that it is told once. */
  #refused = "";

  constructor(modules: RootRotatorModules) {
    this.#modules = modules;
    this.#loop = new Loop({ name: "root rotator", gatherMs, round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      if (changes.some(({ kind }) => kind === "cluster" || kind === "node")) this.#loop.wake();
    });
    this.#loop.wake();
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  async #round(): Promise<undefined> {
    const { store, random, log } = this.#modules;
    const cluster = clusterOf(store);
    if (cluster?.rootCa === undefined) return;
    const step = planRotation(cluster, store.list("node"));
    switch (step.kind) {
      case "none":
        return;
      case "note":
        return await this.#change(step, (root) => ({ ...root, lastForcedRotation: step.forced }));
      case "start":
        return await this.#start(cluster.rootCa, step);
      case "finish":
        await this.#change(step, (root) => finished(root, random));
        log.info("The cluster has its new root certificate: the join tokens are new");
    }
  }

  async #start(rootCa: RootCa, step: Start): Promise<undefined> {
    const { clock, log } = this.#modules;
    const next = step.given ?? (await createRoot(clock.now()));
    if (!this.#usable(next)) return;
    const old = {
      certificate: Buffer.from(rootCa.caCert).toString(),
      key: Buffer.from(rootCa.caKey).toString(),
    };
    const rotation = create(RootRotationSchema, {
      caCert: Buffer.from(next.certificate),
      caKey: Buffer.from(next.key),
      crossSignedCaCert: Buffer.from(await crossSign(next.certificate, old)),
    });
    await this.#change(step, (root) => started(root, rotation, step.forced));
    const digest = certificateDigest(next.certificate);
    log.info("A new root certificate takes over", { digest });
  }

  /** What a user gave is refused where it is given; a root that ran out meanwhile must not end the leadership. */
  #usable(root: Authority): boolean {
    const { clock, log } = this.#modules;
    try {
      checkRoot(root, clock.now());
      return true;
    } catch (thrown) {
      if (this.#refused !== root.certificate) log.error(Fault.from(thrown).message);
      this.#refused = root.certificate;
      return false;
    }
  }

  /** Unless the next step is another one by now. */
  async #change(step: RotationStep, change: (rootCa: RootCa) => RootCa): Promise<undefined> {
    await this.#modules.store.write((view) => {
      const cluster = clusterOf(view);
      if (cluster?.rootCa === undefined) return [];
      if (!sameStep(planRotation(cluster, view.list("node")), step)) return [];
      const object: Cluster = { ...cluster, rootCa: change(cluster.rootCa) };
      return [{ action: "update", kind: "cluster", object }];
    });
  }
}

function sameStep(a: RotationStep, b: RotationStep): boolean {
  if (a.kind === "start" && b.kind === "start") {
    return a.forced === b.forced && a.given?.certificate === b.given?.certificate;
  }
  return a.kind === b.kind;
}

function started(rootCa: RootCa, rootRotation: RootRotation, forced: bigint): RootCa {
  return { ...rootCa, rootRotation, lastForcedRotation: forced };
}

function finished({ rootRotation, ...rootCa }: RootCa, random: Ports["random"]): RootCa {
  if (rootRotation === undefined) return rootCa;
  const { caCert, caKey } = rootRotation;
  const caCertHash = certificateDigest(Buffer.from(caCert).toString());
  const joinTokens = create(JoinTokensSchema, newJoinTokens(caCertHash, random));
  return { ...rootCa, caCert, caKey, caCertHash, joinTokens };
}
