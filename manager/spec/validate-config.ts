/** What a config's spec must look like. Pure. */
import { type ConfigSpec, ConfigSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { checkLabels, invalid } from "./field.ts";
import { refuseUnsupported } from "./supported.ts";

/** Swarm's. */
const dataBytesMax = 1000 * 1024;
const nameLengthMax = 64;

/** As Swarm's: configs are named like files. */
const namePattern = /^[a-zA-Z0-9](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?$/;

export function validateConfigSpec(spec: ConfigSpec | undefined): ConfigSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  checkLabels(spec.annotations);
  refuseUnsupported(ConfigSpecSchema, spec);
  const name = spec.annotations?.name ?? "";
  if (name === "") throw invalid("annotations.name", "is empty: give a name");
  if (name.length > nameLengthMax || !namePattern.test(name)) {
    const problem = `"${name}" is not valid: use 1 to ${nameLengthMax} letters, digits, ".", "-" and "_", and begin and end with a letter or digit`;
    throw invalid("annotations.name", problem);
  }
  const { length } = spec.data;
  if (length === 0 || length > dataBytesMax) {
    throw invalid("data", `has ${length} bytes: use 1 to ${dataBytesMax}`);
  }
  return spec;
}
