/** Which settings a daemon that runs can take up, and which only its next start does. Pure. */
import { isDeepStrictEqual } from "node:util";
import type { Config } from "./config.ts";

interface Setting {
  /** As users write it. */
  readonly name: string;
  readonly reloads: boolean;
}

/** The rest is where things are and who listens: what runs would have to be moved. */
const settings: Readonly<Record<keyof Config, Setting>> = {
  logLevel: { name: "log-level", reloads: true },
  insecureRegistries: { name: "insecure-registry", reloads: true },
  mirrors: { name: "registry-mirror", reloads: true },
  credentialsFile: { name: "registry-logins", reloads: true },
  certificateFolders: { name: "registry-certificates", reloads: true },
  imageLayerBytesMax: { name: "image-layer-max", reloads: true },
  imageCollection: { name: "image-gc-high, image-gc-low, image-unused", reloads: true },
  genericResources: { name: "generic-resource", reloads: true },
  labels: { name: "label", reloads: true },
  dataRoot: { name: "data-root", reloads: false },
  runRoot: { name: "run-root", reloads: false },
  cgroupParent: { name: "cgroup-parent", reloads: false },
  engineAddress: { name: "engine-address", reloads: false },
  metricsAddress: { name: "metrics-address", reloads: false },
  fastPath: { name: "fast-path", reloads: false },
  imagePeers: { name: "image-peers", reloads: false },
  proxy: { name: "the environment's proxies", reloads: false },
};

export interface Reload {
  /** What holds from now on. */
  readonly config: Config;
  readonly changed: readonly string[];
  /** Settings that are others now, and wait for the next start. */
  readonly waiting: readonly string[];
}

export function planReload(before: Config, after: Config): Reload {
  const differing = Object.entries(settings).filter(
    ([key]) => !isDeepStrictEqual(Reflect.get(before, key), Reflect.get(after, key)),
  );
  const namesOf = (reloads: boolean) =>
    differing.filter(([, setting]) => setting.reloads === reloads).map(([, { name }]) => name);
  return {
    config: {
      ...after,
      dataRoot: before.dataRoot,
      runRoot: before.runRoot,
      cgroupParent: before.cgroupParent,
      engineAddress: before.engineAddress,
      metricsAddress: before.metricsAddress,
      fastPath: before.fastPath,
      imagePeers: before.imagePeers,
    },
    changed: namesOf(true),
    waiting: namesOf(false),
  };
}
