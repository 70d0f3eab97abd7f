/** Objects of a cluster as registers, and the calls that read and change them. See operation.ts. */
import { create } from "@bufbuild/protobuf";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Config, Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { Fault } from "#proto/fault.ts";
import { AnnotationsSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { CallOptions, Client } from "#proto/grpc.ts";

export type Control = Client<typeof ControlService>;

/** The label of a service that is a register's value. */
const label = "value";

/** A register as one client knows it. */
export interface Register {
  readonly name: string;
  /** What the client last saw there or wrote. */
  readonly known: number;
  /** Resolves to what is there. */
  read(control: Control, options: CallOptions): Promise<number>;
  /** From `known` to the value. Resolves to what was there before, which is undefined where another client was faster. */
  set(value: number, control: Control, options: CallOptions): Promise<number | undefined>;
}

/** Created and removed by one client alone, so that nothing may be refused. */
export class ConfigRegister implements Register {
  readonly name: string;
  known = 0;
  #id = "";

  constructor(name: string) {
    this.name = name;
  }

  async read(control: Control, options: CallOptions): Promise<number> {
    return await orAbsent(async () => {
      const { config } = await control.getConfig({ ref: this.name }, options);
      return valueOfConfig(config);
    });
  }

  /** To 0 where there is something, from 0 to any other value. */
  async set(value: number, control: Control, options: CallOptions): Promise<number> {
    const { known } = this;
    if (value === 0) {
      const removed = await orAbsent(async () => {
        await control.removeConfig({ ref: this.#id }, options);
        return known;
      });
      this.known = 0;
      return removed;
    }
    const spec = { annotations: { name: this.name }, data: Buffer.from(String(value)) };
    const { config } = await control.createConfig({ spec }, options);
    this.#id = config?.id ?? "";
    this.known = value;
    return 0;
  }
}

/** A service without replicas, which all clients change. */
export class ServiceRegister implements Register {
  readonly name: string;
  #service: Service | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get known(): number {
    return valueOf(this.#service);
  }

  async read(control: Control, options: CallOptions): Promise<number> {
    const { service } = await control.getService({ ref: this.name }, options);
    this.#service = service;
    return this.known;
  }

  async set(value: number, control: Control, options: CallOptions): Promise<number | undefined> {
    const { known } = this;
    const read = this.#service;
    const version = read?.meta?.version;
    if (read?.spec === undefined || version === undefined) {
      throw new Fault("internal", "a service that was not read cannot be updated");
    }
    const annotations = create(AnnotationsSchema, {
      name: this.name,
      labels: { [label]: String(value) },
    });
    const spec = { ...read.spec, annotations };
    try {
      const { service } = await control.updateService({ ref: read.id, version, spec }, options);
      this.#service = service;
      return known;
    } catch (thrown) {
      if (Fault.from(thrown).code === "conflict") return undefined;
      throw thrown;
    }
  }
}

export function valueOfConfig(config: Config | undefined): number {
  return Number(Buffer.from(config?.spec?.data ?? []).toString());
}

function valueOf(service: Service | undefined): number {
  return Number(service?.spec?.annotations?.labels[label] ?? 0);
}

async function orAbsent(call: () => Promise<number>): Promise<number> {
  try {
    return await call();
  } catch (thrown) {
    if (Fault.from(thrown).code === "not-found") return 0;
    throw thrown;
  }
}
