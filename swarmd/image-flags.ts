/** The flags about images on swarmd's command line: how large a layer may be, who gives it, and when unused images go. */
import type { CollectorOptions } from "#agent/image/image-collector.ts";
import { Fault } from "#proto/fault.ts";
import type { FlagDoc } from "#proto/flag-doc.ts";
import { parseSizeBytes } from "#proto/size.ts";
import { parseDurationMs } from "#proto/time.ts";

export interface ImageSettings {
  /** Of one layer unpacked. */
  readonly imageLayerBytesMax: number;
  readonly imageCollection: CollectorOptions;
  /** Whether layers come from other nodes too, and go to them. */
  readonly imagePeers: boolean;
}

export const imageFlags = {
  "image-layer-max": { type: "string" },
  "image-gc-high": { type: "string" },
  "image-gc-low": { type: "string" },
  "image-unused": { type: "string" },
  "image-peers": { type: "string" },
} as const;

export type ImageFlagValues = Readonly<Record<keyof typeof imageFlags, string>>;

export const imageFlagDefaults: ImageFlagValues = {
  "image-layer-max": "64g",
  "image-gc-high": "85",
  "image-gc-low": "80",
  "image-unused": "720h",
  "image-peers": "on",
};

export const imageFlagDocs: readonly FlagDoc[] = [
  {
    name: "image-layer-max",
    argument: "SIZE",
    text: "refuse layers that unpack to more",
    default: imageFlagDefaults["image-layer-max"],
  },
  {
    name: "image-gc-high",
    argument: "PERCENT",
    text: "remove unused images when so much of the disk is in use",
    default: imageFlagDefaults["image-gc-high"],
  },
  {
    name: "image-gc-low",
    argument: "PERCENT",
    text: "and go on until it is no more than this",
    default: imageFlagDefaults["image-gc-low"],
  },
  {
    name: "image-unused",
    argument: "DURATION",
    text: "remove images that were unused for so long; 0: never",
    default: imageFlagDefaults["image-unused"],
  },
  {
    name: "image-peers",
    argument: "on|off",
    text: "take layers from other nodes that have them, and serve them",
    default: imageFlagDefaults["image-peers"],
  },
];

export function parseImageFlags(values: ImageFlagValues): ImageSettings {
  const highPercent = percent("--image-gc-high", values["image-gc-high"]);
  const lowPercent = percent("--image-gc-low", values["image-gc-low"]);
  if (lowPercent > highPercent) {
    throw usage(`--image-gc-low ${lowPercent} is more than --image-gc-high ${highPercent}`);
  }
  return {
    imageLayerBytesMax: Number(
      flag("--image-layer-max", values["image-layer-max"], parseSizeBytes),
    ),
    imageCollection: {
      highPercent,
      lowPercent,
      unusedMs: flag("--image-unused", values["image-unused"], parseDurationMs),
    },
    imagePeers: onOrOff("--image-peers", values["image-peers"]),
  };
}

function percent(name: string, text: string): number {
  if (/^[0-9]{1,3}$/.test(text) && Number(text) <= 100) return Number(text);
  throw usage(`${name} "${text}" is not a percentage, such as 85`);
}

function onOrOff(name: string, text: string): boolean {
  if (text === "on" || text === "off") return text === "on";
  throw usage(`${name} "${text}" is neither on nor off`);
}

function flag<T>(name: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    throw Fault.wrap(name, error);
  }
}

function usage(message: string): Fault {
  return new Fault("invalid-argument", message);
}
