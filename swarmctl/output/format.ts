/** `--format`: `table`, `json`, a template for each object, or `table TEMPLATE` with a heading and aligned columns. */
import { Option } from "commander";
import { Fault } from "#proto/fault.ts";
import { flag } from "../flags/parse-flag.ts";
import { Template } from "./template/template.ts";

export interface TemplateFormat {
  readonly template: Template;
  readonly isTable: boolean;
}

export type Format = "table" | "json" | TemplateFormat;

export function parseFormat(text: string): Format {
  const format = text.trim();
  if (format === "table" || format === "json") return format;
  const isTable = /^table\s/.test(format);
  const source = isTable ? format.slice("table".length).trimStart() : format;
  if (!source.includes("{{")) {
    const problem =
      "Write table, json or a template such as '{{.Name}}' or 'table {{.ID}}\\t{{.Name}}'";
    throw new Fault("invalid-argument", problem);
  }
  // As Docker's, so that nobody must teach a shell to write a tab.
  const template = new Template(source.replaceAll("\\t", "\t").replaceAll("\\n", "\n"));
  return { template, isTable };
}

/** For commands whose output is a list of objects. */
export function listFormatOption(): Option {
  return new Option(
    "--format <format>",
    "table, json, or a template: '{{.Name}}', 'table {{.ID}}\\t{{.Name}}'",
  )
    .argParser(flag(parseFormat))
    .default("table" satisfies Format);
}
