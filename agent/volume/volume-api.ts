/** The node's volumes as users handle them. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type CreateVolumeRequest,
  type ListVolumesRequest,
  type LocalVolume,
  LocalVolumeSchema,
  type PruneVolumesRequest,
  type VolumeService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { timestampFromMs } from "#proto/time.ts";
import { checkVolumeDriver } from "#proto/volume-rules.ts";
import type { Volume } from "./volume-files.ts";
import { isAnonymous, type VolumeStore } from "./volume-store.ts";

export function volumeHandlers(store: VolumeStore): Handlers<typeof VolumeService> {
  return {
    createVolume: async (request) => ({ volume: await createVolume(store, request) }),
    listVolumes: async (request) => ({ volumes: await listVolumes(store, request) }),
    getVolume: async ({ name }) => ({ volume: describe(store, store.get(name)) }),
    removeVolume: async ({ name, force }) => {
      await removeVolume(store, name, force);
      return {};
    },
    pruneVolumes: (request) => pruneVolumes(store, request),
  };
}

async function createVolume(store: VolumeStore, request: CreateVolumeRequest) {
  const { name, driver, options, labels } = request;
  checkVolumeDriver(driver);
  return describe(store, await store.create({ name, options, labels }));
}

async function listVolumes(
  store: VolumeStore,
  { withSize }: ListVolumesRequest,
): Promise<LocalVolume[]> {
  const volumes = store.list().toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const sizes = withSize ? await store.sizes(volumes.map(({ name }) => name)) : new Map();
  return volumes.map((volume) => describe(store, volume, sizes.get(volume.name)));
}

async function removeVolume(store: VolumeStore, name: string, force: boolean): Promise<void> {
  try {
    await store.remove(name);
  } catch (thrown) {
    if (!force || Fault.from(thrown).code !== "not-found") throw thrown;
  }
}

/** What nobody has: anonymous volumes, or all (Docker). One that somebody takes meanwhile stays. */
async function pruneVolumes(store: VolumeStore, { all, labels }: PruneVolumesRequest) {
  const unused = store
    .list()
    .filter((volume) => all || isAnonymous(volume))
    .filter((volume) => hasLabels(volume, labels))
    .map(({ name }) => name)
    .filter((name) => store.usersOf(name).length === 0);
  const sizes = await store.sizes(unused);
  const deleted: string[] = [];
  for (const name of unused) {
    try {
      await store.remove(name);
      deleted.push(name);
    } catch (thrown) {
      const { code } = Fault.from(thrown);
      if (code !== "failed-precondition" && code !== "not-found") throw thrown;
    }
  }
  const reclaimed = deleted.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
  return { deleted, reclaimedBytes: BigInt(reclaimed) };
}

function hasLabels({ labels }: Volume, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(
    ([key, value]) => Object.hasOwn(labels, key) && (value === "" || labels[key] === value),
  );
}

function describe(store: VolumeStore, volume: Volume, sizeBytes = 0): LocalVolume {
  const { name, options, labels, createdAtMs } = volume;
  return create(LocalVolumeSchema, {
    name,
    driver: "local",
    options,
    labels,
    mountpoint: store.mountpointOf(name),
    createdAt: timestampFromMs(createdAtMs),
    inUse: store.usersOf(name).length > 0,
    sizeBytes: BigInt(sizeBytes),
    anonymous: isAnonymous(volume),
  });
}
