/** Stack files as texts → a loaded stack file. Whoever calls says what a variable and a file hold: nothing else is read. */
import type { ComposeContent, ComposeFile } from "./compose-file.ts";
import { checkCluster } from "./cluster-keys.ts";
import { YamlDocument } from "#proto/yaml/document.ts";
import { withEnvFile } from "./env-files.ts";
import { type ComposeInput, ProjectLoader, readDotenv } from "./load-project.ts";
import { mapNode, type MapNode, toValue } from "#proto/yaml/node.ts";
import { withProfiles } from "./profiles.ts";

export interface LoadOptions {
  /** Of the first file: to it relative paths are relative, and `.env` is there. */
  readonly folder: string;
  /** The shell's variables. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly readText: (path: string) => string;
  /** Services of no profile are always there, others with one of theirs; "*" is all. */
  readonly profiles?: readonly string[];
  /** Left as they are where false. */
  readonly interpolate?: boolean;
  /** Where false, what no cluster can do is neither refused nor told of. */
  readonly forCluster?: boolean;
}

/** Later files win over earlier ones. */
export function loadCompose(inputs: readonly ComposeInput[], options: LoadOptions): ComposeFile {
  const { folder, environment, readText } = options;
  const raw = options.interpolate === false;
  const shell = (name: string) =>
    Object.hasOwn(environment, name) ? environment[name] : undefined;
  const warnings: string[] = [];
  const unset = new Set<string>();
  const onUnset = (name: string, where: string) => {
    if (unset.has(name)) return;
    unset.add(name);
    const what = `${where} names the variable "${name}", which is not set`;
    warnings.push(`${what}: it stands for nothing`);
  };
  const variables = withEnvFile(shell, readDotenv(folder, readText), onUnset);
  const loader = new ProjectLoader({
    folder,
    variables,
    raw,
    readText,
    onUnset,
    onUnheeded: (what) => {
      if (options.forCluster !== false) warnings.push(what);
    },
  });
  const all = withServices(loader.load(inputs));
  const profiles = [
    ...(options.profiles ?? []),
    ...(variables("COMPOSE_PROFILES") ?? "").split(",").map((profile) => profile.trim()),
  ];
  const root = withProfiles(all, profiles);
  const document = new YamlDocument(root);
  const content = toValue(root);
  if (!isContent(content)) throw document.fault([], "has no services");
  if (options.forCluster !== false) warnings.push(...checkCluster(root));
  return { content, document, warnings };
}

function withServices(root: MapNode): MapNode {
  if (root.entries.has("services")) return root;
  const { place } = root;
  const services = { place, value: mapNode(place, {}) };
  return { ...root, entries: new Map([...root.entries, ["services", services]]) };
}

/** What the schema and the normal form have made sure of. */
function isContent(content: unknown): content is ComposeContent {
  return typeof content === "object" && content !== null && "services" in content;
}
