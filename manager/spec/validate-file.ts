/** What the specs of secrets and configs, which become files of containers, must look like. Pure. */
import {
  type ConfigSpec,
  ConfigSpecSchema,
  type SecretSpec,
  SecretSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Annotations, Driver } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseTemplate, templateMistakeAt } from "#proto/template.ts";
import { checkLabels, invalid, parsed } from "./field.ts";
import { refuseUnsupported } from "./supported.ts";

/** Swarm's. */
const configBytesMax = 1000 * 1024;
const secretBytesMax = 500 * 1024;
const nameLengthMax = 64;

/** As Swarm's: they are named like files. */
const namePattern = /^[a-zA-Z0-9](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?$/;

export function validateConfigSpec(spec: ConfigSpec | undefined): ConfigSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  checkLabels(spec.annotations);
  refuseUnsupported(ConfigSpecSchema, spec);
  checkFileName(spec.annotations);
  checkLength(spec.data, configBytesMax);
  if (isTemplated(spec.templating)) parsed("data", () => parseTemplate(textOf(spec.data), "file"));
  return spec;
}

/** No refusal shows anything of the data. */
export function validateSecretSpec(spec: SecretSpec | undefined): SecretSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  checkLabels(spec.annotations);
  refuseUnsupported(SecretSpecSchema, spec);
  checkFileName(spec.annotations);
  checkLength(spec.data, secretBytesMax);
  if (isTemplated(spec.templating)) {
    const mistake = templateMistakeAt(textOf(spec.data), "file");
    if (mistake !== undefined) throw invalid("data", `has a mistake in the template ${mistake}`);
  }
  return spec;
}

function checkFileName(annotations: Annotations | undefined): void {
  const name = annotations?.name ?? "";
  if (name === "") throw invalid("annotations.name", "is empty: give a name");
  if (name.length > nameLengthMax || !namePattern.test(name)) {
    const problem = `"${name}" is not valid: use 1 to ${nameLengthMax} letters, digits, ".", "-" and "_", and begin and end with a letter or digit`;
    throw invalid("annotations.name", problem);
  }
}

function checkLength({ length }: Uint8Array, bytesMax: number): void {
  if (length > 0 && length <= bytesMax) return;
  throw invalid("data", `has ${length} bytes: use 1 to ${bytesMax}`);
}

function isTemplated(templating: Driver | undefined): boolean {
  if (templating === undefined) return false;
  if (templating.name !== "golang") {
    throw invalid("templating.name", `"${templating.name}" is not known: use "golang"`);
  }
  if (Object.keys(templating.options).length === 0) return true;
  throw invalid("templating.options", "are set: there are none");
}

function textOf(data: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(data);
  } catch {
    throw invalid("data", "is not UTF-8 text, which a template must be");
  }
}
