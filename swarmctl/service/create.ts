import { fromJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Random } from "#proto/ports.ts";
import type { Context } from "../context.ts";
import { readText } from "../read-file.ts";
import { addConvergeFlags, type ConvergeOptions, converge, withJobTimeout } from "./converge.ts";
import { answered } from "./change-service.ts";
import { readEnvironment } from "./environment.ts";
import { printWarnings } from "../warnings.ts";
import { withRegistryAuth } from "../registry-login.ts";
import { newName } from "./new-name.ts";
import { addRegistryFlags, type RegistryFlags } from "./registry-flags.ts";
import { readSecurityOpts } from "./security-opt.ts";
import { addServiceFlags, type ServiceFlags, serviceSpecFromFlags } from "./flags.ts";

interface Options extends ServiceFlags, RegistryFlags, ConvergeOptions {
  readonly spec?: string;
}

export function define(command: Command, context: Context): void {
  addServiceFlags(command)
    .argument("[image]", "image of the containers")
    .argument("[command...]", "replaces the image's command")
    .passThroughOptions()
    .optionsGroup("Options:")
    .option("--spec <file>", "a whole ServiceSpec as JSON instead of flags and image; - is stdin");
  addRegistryFlags(command);
  addConvergeFlags(command).action(
    async (image: string | undefined, args: string[], options: Options) => {
      checkUsage(command, image, options);
      const wanted = await readSpec(context, { ...options, image: image ?? "", args });
      const spec = options.withRegistryAuth ? await withRegistryAuth(context.io, wanted) : wanted;
      const control = await context.control();
      const queryRegistry = options.resolveImage;
      const reply = await control.createService({ spec, queryRegistry });
      printWarnings(context, reply.warnings);
      const service = answered(reply);
      context.print(service.id);
      if (!options.detach)
        await converge(context, control, service, withJobTimeout(command, service, options));
    },
  );
}

function checkUsage(command: Command, image: string | undefined, options: Options): void {
  if (options.spec === undefined) {
    if (image === undefined) command.error("error: missing required argument 'image'");
    return;
  }
  const allowed: readonly string[] = [
    "spec",
    "detach",
    "quiet",
    "timeout",
    "runRoot",
    "host",
    "context",
    "resolveImage",
    "withRegistryAuth",
  ];
  const given = command.options.filter(
    (option) =>
      command.getOptionValueSource(option.attributeName()) === "cli" &&
      !allowed.includes(option.attributeName()),
  );
  const [first] = given;
  if (image !== undefined) command.error("error: '--spec' takes no image beside it");
  if (first !== undefined) command.error(`error: '--spec' takes no '${first.long}' beside it`);
}

interface Wanted extends Options {
  readonly image: string;
  readonly args: readonly string[];
}

async function readSpec(context: Context, wanted: Wanted): Promise<ServiceSpec> {
  if (wanted.spec !== undefined)
    return parseSpec(await readText(context.io, wanted.spec), wanted.spec);
  const env = await readEnvironment(wanted, context.io.env);
  const name = wanted.name ?? newName(wanted.image, await systemRandom());
  const securityOpt = await readSecurityOpts(wanted.securityOpt);
  return serviceSpecFromFlags(
    { ...wanted, name, securityOpt },
    { image: wanted.image, args: wanted.args, env },
  );
}

/** Loaded for those who need it: whoever gives a name does not wait for it. */
async function systemRandom(): Promise<Random> {
  return (await import("#proto/system-ports.ts")).systemRandom;
}

function parseSpec(text: string, file: string): ServiceSpec {
  try {
    return fromJson(ServiceSpecSchema, JSON.parse(text));
  } catch (thrown) {
    // Syntax errors and protobuf-es's own, which name the field.
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new Fault("invalid-argument", `Cannot read a service from "${file}": ${reason}`);
  }
}
