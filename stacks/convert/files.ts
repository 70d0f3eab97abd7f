/** The secrets and configs of a stack file: what its services read as files, and what the stack makes for them. */
import { create } from "@bufbuild/protobuf";
import {
  type ConfigReference,
  ConfigReferenceSchema,
  type FileTarget,
  FileTargetSchema,
  type SecretReference,
  SecretReferenceSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { FileEntry, FileReferenceEntry, ServiceEntry } from "../compose/compose-file.ts";
import { parseMode } from "../host-access-words.ts";
import { namespaceLabel, type StackFileSource } from "../stack.ts";
import { Reader, refuseSharedNames, type StackContext } from "./reader.ts";

type Section = "secrets" | "configs";

/** `reader`: of the service. */
export function fileReferences(
  reader: Reader,
  { secrets = [], configs = [] }: ServiceEntry,
): { secrets: SecretReference[]; configs: ConfigReference[] } {
  return {
    secrets: secrets.map((entry, index) => {
      const { name, file } = reference(reader, entry, { section: "secrets", index });
      return create(SecretReferenceSchema, { secretName: name, file });
    }),
    configs: configs.map((entry, index) => {
      const { name, file } = reference(reader, entry, { section: "configs", index });
      return create(ConfigReferenceSchema, { configName: name, file });
    }),
  };
}

function reference(
  service: Reader,
  entry: FileReferenceEntry,
  { section, index }: { readonly section: Section; readonly index: number },
): { readonly name: string; readonly file: FileTarget } {
  const reader = service.under(section, String(index));
  const noun = section.slice(0, -1);
  if (!Object.hasOwn(reader.context.content[section] ?? {}, entry.source)) {
    throw reader.fault(`names the ${noun} "${entry.source}", which the file does not define`);
  }
  const mode = reader.one("mode", entry.mode, parseMode) ?? 0o444;
  const { target = entry.source, uid = "0", gid = "0" } = entry;
  const file = create(FileTargetSchema, { name: target, uid, gid, mode });
  return { name: fileName(reader.context, section, entry.source), file };
}

function fileName({ name: stack, content }: StackContext, section: Section, key: string): string {
  const { name, external } = content[section]?.[key] ?? {};
  return name ?? (external ? key : `${stack}_${key}`);
}

/** What the stack makes, and the names of what its services use and others must have made. */
export function filesOf(
  context: StackContext,
  section: Section,
): { readonly made: StackFileSource[]; readonly external: string[] } {
  const { services, [section]: files = {} } = context.content;
  const entries = Object.entries(files).map(([key, entry]) => {
    const name = fileName(context, section, key);
    return { key, entry, name, isMade: entry.external !== true };
  });
  refuseSharedNames(context, section, entries);
  const used = new Set(
    Object.values(services).flatMap((service) => service[section]?.map(({ source }) => source)),
  );
  return {
    made: entries
      .filter(({ isMade }) => isMade)
      .map(({ key, entry, name }) => fileSource(new Reader(context, [section, key]), entry, name)),
    external: entries.filter(({ key, isMade }) => !isMade && used.has(key)).map(({ name }) => name),
  };
}

function fileSource(reader: Reader, entry: FileEntry, name: string): StackFileSource {
  const { file, environment, content, template_driver: templateDriver } = entry;
  for (const key of ["driver", "driver_opts"] as const) {
    if (entry[key] !== undefined)
      throw reader.under(key).fault("is not supported: there are no drivers of files");
  }
  const sources: StackFileSource["from"][] = [
    ...(file === undefined ? [] : [{ file }]),
    ...(environment === undefined ? [] : [{ environment }]),
    ...(content === undefined ? [] : [{ content }]),
  ];
  const [from] = sources;
  if (from === undefined || sources.length > 1) {
    throw reader.fault("must have one of file, environment, content and external");
  }
  const labels = { ...entry.labels, [namespaceLabel]: reader.context.name };
  return { name, labels, from, ...(templateDriver !== undefined && { templateDriver }) };
}
