/** The secrets and configs of a stack file: what its services read as files, and what the stack makes for them. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type ConfigReference,
  ConfigReferenceSchema,
  type FileTarget,
  FileTargetSchema,
  type SecretReference,
  SecretReferenceSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { parseMode } from "./host-access-words.ts";
import { recordOf } from "./record-of.ts";
import { namespaceLabel, type StackFileSource } from "./stack.ts";
import type {
  ExternalEntry,
  FileEntry,
  FileReferenceEntry,
  ServiceFilesEntry,
} from "./compose/compose-file.ts";
import type { Path } from "./compose/node.ts";
import type { StackContext } from "./stack-context.ts";

type Section = "secrets" | "configs";

export function parseReferences(
  context: StackContext,
  path: Path,
  { secrets = [], configs = [] }: ServiceFilesEntry,
): { secrets: SecretReference[]; configs: ConfigReference[] } {
  return {
    secrets: secrets.map((entry, index) => {
      const { name, file } = reference(context, [...path, "secrets", String(index)], entry);
      return create(SecretReferenceSchema, { secretName: name, file });
    }),
    configs: configs.map((entry, index) => {
      const { name, file } = reference(context, [...path, "configs", String(index)], entry);
      return create(ConfigReferenceSchema, { configName: name, file });
    }),
  };
}

function reference(
  context: StackContext,
  path: Path,
  given: string | FileReferenceEntry,
): { readonly name: string; readonly file: FileTarget } {
  const { document } = context;
  const entry = typeof given === "string" ? { source: given } : given;
  const section: Section = path.at(-2) === "secrets" ? "secrets" : "configs";
  const noun = section.slice(0, -1);
  if (!Object.hasOwn(context.content[section] ?? {}, entry.source)) {
    throw document.fault(
      path,
      `names the ${noun} "${entry.source}", which the file does not define`,
    );
  }
  const mode = entry.mode === undefined ? 0o444 : modeAt(context, [...path, "mode"], entry.mode);
  const { target = entry.source, uid = "0", gid = "0" } = entry;
  const file = create(FileTargetSchema, { name: target, uid, gid, mode });
  return { name: fileName(context, section, entry.source), file };
}

function modeAt({ document }: StackContext, path: Path, mode: string | number): number {
  try {
    return parseWrittenMode(document.text(path) ?? String(mode));
  } catch (thrown) {
    throw document.fault(path, `is refused: ${Fault.from(thrown).message}`);
  }
}

/** As it stands in the file: the digits are octal whatever YAML makes of them. */
export function parseWrittenMode(text: string): number {
  return parseMode(/^(["'])(.*)\1$/.exec(text)?.[2] ?? text);
}

/** The name in the cluster of what others make; undefined of what the stack makes. */
export function externalName(
  key: string,
  { external, name }: { readonly external?: ExternalEntry; readonly name?: string },
): string | undefined {
  if (external === undefined || external === false) return undefined;
  return (external === true ? undefined : external.name) ?? name ?? key;
}

function fileName(context: StackContext, section: Section, key: string): string {
  const entry = context.content[section]?.[key] ?? {};
  return externalName(key, entry) ?? entry.name ?? `${context.name}_${key}`;
}

/** What the stack makes, and the names of what others must have made. */
export function parseFiles(
  context: StackContext,
  section: Section,
): { readonly made: StackFileSource[]; readonly external: string[] } {
  const made: StackFileSource[] = [];
  const external: string[] = [];
  for (const [key, given] of Object.entries(context.content[section] ?? {})) {
    const entry = given ?? {};
    const name = fileName(context, section, key);
    if (externalName(key, entry) !== undefined) external.push(name);
    else made.push(fileSource(context, [section, key], { ...entry, name }));
  }
  return { made, external };
}

function fileSource(
  context: StackContext,
  path: Path,
  entry: FileEntry & { readonly name: string },
): StackFileSource {
  const { name, file, environment, content, template_driver: templateDriver } = entry;
  const sources: StackFileSource["from"][] = [
    ...(file === undefined ? [] : [{ file }]),
    ...(environment === undefined ? [] : [{ environment }]),
    ...(content === undefined ? [] : [{ content }]),
  ];
  const [from] = sources;
  if (from === undefined || sources.length > 1) {
    throw context.document.fault(path, "must have one of file, environment, content and external");
  }
  const labels = {
    ...recordOf(context, [...path, "labels"], entry.labels),
    [namespaceLabel]: context.name,
  };
  return { name, labels, from, ...(templateDriver !== undefined && { templateDriver }) };
}
