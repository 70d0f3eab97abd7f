/** The images of a node as users handle them, and the collector of those that nobody uses. */
import { join } from "node:path";
import { engineHandlers } from "#agent/disk-usage.ts";
import type { EngineHandlers } from "#agent/api/engine-api.ts";
import { systemExec } from "#agent/exec.ts";
import { hostStateHandlers } from "#agent/host-state.ts";
import { imageHandlers } from "#agent/image/image-api.ts";
import { ImageCollector } from "#agent/image/image-collector.ts";
import { ImageStore } from "#agent/image/image-store.ts";
import { readTaskUses } from "#agent/image/task-uses.ts";
import { hostPlatform } from "#agent/node-description.ts";
import { LayerPeers } from "#agent/layer-peers/layer-peers.ts";
import type { VolumeStore } from "#agent/volume/volume-store.ts";
import type { Ports } from "#proto/ports.ts";
import type { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import type { Config } from "./config.ts";
import type { Identity } from "./identity.ts";

export interface ImageModules extends Ports {
  readonly images: ImageStore;
  readonly volumes: VolumeStore;
}

/** Undefined where they are switched off. */
export function openPeers(
  config: Config,
  { nodeId, clusterId }: Identity,
  { identity, ...ports }: Ports & { readonly identity: Promise<TlsIdentityHolder> },
): LayerPeers | undefined {
  if (!config.imagePeers) return undefined;
  const log = ports.log.child({ part: "layer-peers" });
  return new LayerPeers({ nodeId, clusterId, identity }, { ...ports, log });
}

export function openImages(
  config: Config,
  { peers, ...ports }: Ports & { readonly peers: LayerPeers | undefined },
): Promise<ImageStore> {
  return ImageStore.open(
    {
      ...config,
      root: join(config.dataRoot, "agent/image"),
      layerBytesMax: config.imageLayerBytesMax,
      platform: hostPlatform(),
    },
    { ...ports, peers, exec: systemExec, log: ports.log.child({ part: "image" }) },
  );
}

/** Begins to collect; ends when it is disposed of. */
export class EngineImages implements AsyncDisposable {
  readonly handlers: Required<Pick<EngineHandlers, "images" | "engine">>;
  readonly #collector: ImageCollector;
  readonly #store: ImageStore;

  constructor(config: Config, modules: ImageModules) {
    const { images, volumes, log } = modules;
    const tasksFolder = join(config.dataRoot, "agent/tasks");
    const uses = () => readTaskUses(tasksFolder);
    this.handlers = {
      images: imageHandlers({ store: images, uses, clock: modules.clock }),
      engine: {
        ...engineHandlers(tasksFolder, { images, uses, volumes, exec: systemExec }),
        ...hostStateHandlers(config.dataRoot, modules),
      },
    };
    this.#store = images;
    this.#collector = new ImageCollector(config.imageCollection, {
      ...modules,
      store: images,
      uses,
      log: log.child({ part: "image" }),
    });
    this.#collector.start();
  }

  configure(config: Config): void {
    this.#store.configure({ ...config, layerBytesMax: config.imageLayerBytesMax });
    this.#collector.configure(config.imageCollection);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#collector[Symbol.asyncDispose]();
  }
}
