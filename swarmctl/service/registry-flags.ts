/** What the managers and nodes ask of a service's registry, and as whom. */
import type { Command } from "commander";

export interface RegistryFlags {
  /** Commander's form of --no-resolve-image. */
  readonly resolveImage: boolean;
  readonly withRegistryAuth?: true;
}

export function addRegistryFlags(command: Command): Command {
  command.optionsGroup("Image:");
  return command
    .option("--no-resolve-image", "leave the image's tag a tag: each node asks what it stands for")
    .option("--with-registry-auth", "give the nodes your login at the image's registry");
}
