/** Gives a secret or config other data: the services that use it are updated with it, and waited for. */
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context, ControlClient } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { readBytes } from "../read-file.ts";
import { addConvergeFlags, converge, type ConvergeOptions } from "../service/converge.ts";
import { serviceName } from "../service/words.ts";
import { type FileNoun, nameOf } from "./file-noun.ts";

export function defineRotate(noun: FileNoun, command: Command, context: Context): void {
  command
    .argument(`<${noun.name}>`, "ID, prefix of an ID, or name")
    .argument("<file>", 'what it shall hold; "-" is stdin');
  addConvergeFlags(command).action(async (ref: string, file: string, options: ConvergeOptions) => {
    const data = await readBytes(context.io, file);
    const control = await context.control();
    const { object, serviceIds, unchanged } = await noun.rotate(control, ref, data);
    if (object === undefined) throw new Fault("internal", `The manager returned no ${noun.name}`);
    context.print(object.id);
    const services = await servicesOf(control, serviceIds);
    if (!options.quiet) context.print(outcome(noun, nameOf(object), { services, unchanged }));
    if (options.detach) return;
    const rolling = new Map(
      services
        .filter((service) => !isJob(service))
        .map((service) => [serviceName(service), service]),
    );
    await forEachRef(context, [...rolling.keys()], async (name) => {
      const service = rolling.get(name);
      if (service !== undefined) await converge(context, control, service, options);
    });
  });
}

/** Those that are still there. */
async function servicesOf(control: ControlClient, ids: readonly string[]): Promise<Service[]> {
  const services: Service[] = [];
  for (const ref of ids) {
    try {
      const { service } = await control.getService({ ref });
      if (service !== undefined) services.push(service);
    } catch (thrown) {
      if (Fault.from(thrown).code !== "not-found") throw thrown;
    }
  }
  return services;
}

function outcome(
  { name: noun }: FileNoun,
  name: string,
  { services, unchanged }: { readonly services: readonly Service[]; readonly unchanged: boolean },
): string {
  if (unchanged) return `${name} has this data already: nothing was changed`;
  const namesOf = (some: readonly Service[]) => some.map(serviceName).toSorted().join(", ");
  const jobs = services.filter(isJob);
  const others = services.filter((service) => !isJob(service));
  const words = [
    ...(others.length > 0 ? [`updates ${namesOf(others)}`] : []),
    ...(jobs.length > 0 ? [`is read by ${namesOf(jobs)} from the next run on`] : []),
  ];
  if (words.length === 0) words.push(`is used by no service: the ${noun} is another from now on`);
  return `${name} ${words.join(" and ")}`;
}

function isJob({ spec }: Service): boolean {
  return spec?.mode.case === "replicatedJob" || spec?.mode.case === "globalJob";
}
