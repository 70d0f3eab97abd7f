/** Takes a stack out of a cluster: its services, then what they used. Volumes stay: they hold data. */
import { Fault } from "#proto/fault.ts";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { namespaceLabel } from "./stack.ts";

type ControlClient = Client<typeof ControlService>;

export interface RemoveOptions {
  readonly onStep: (line: string) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A network stays in use until the last task on it has stopped, which its grace period may delay. */
const networkRetryMs = 250;
const networkPatienceMs = 60_000;

export async function removeStack(
  control: ControlClient,
  name: string,
  options: RemoveOptions,
): Promise<void> {
  const labels = { [namespaceLabel]: name };
  const [{ services }, { networks }, { secrets }, { configs }] = await Promise.all([
    control.listServices({ labels }, options),
    control.listNetworks({ labels }, options),
    control.listSecrets({ labels }, options),
    control.listConfigs({ labels }, options),
  ]);
  if (services.length + networks.length + secrets.length + configs.length === 0) {
    throw new Fault("not-found", `Nothing found in stack "${name}": see "swarmctl stack ls"`);
  }
  for (const service of services) {
    options.onStep(`Removing service ${service.spec?.annotations?.name}`);
    await ignoreMissing(control.removeService({ ref: service.id }, options));
  }
  for (const secret of secrets) {
    options.onStep(`Removing secret ${secret.spec?.annotations?.name}`);
    await ignoreMissing(control.removeSecret({ ref: secret.id }, options));
  }
  for (const config of configs) {
    options.onStep(`Removing config ${config.spec?.annotations?.name}`);
    await ignoreMissing(control.removeConfig({ ref: config.id }, options));
  }
  for (const network of networks) {
    options.onStep(`Removing network ${network.spec?.annotations?.name}`);
    await removeNetwork(control, network.id, options);
  }
}

async function removeNetwork(
  control: ControlClient,
  ref: string,
  options: RemoveOptions,
): Promise<void> {
  const { clock, signal } = options;
  const deadline = clock.monotonic() + networkPatienceMs;
  for (;;) {
    try {
      return await ignoreMissing(control.removeNetwork({ ref }, { signal }));
    } catch (thrown) {
      const inUse = Fault.from(thrown).code === "failed-precondition";
      if (!inUse || clock.monotonic() > deadline) throw thrown;
    }
    await clock.sleep(networkRetryMs, signal);
  }
}

/** Somebody else was faster. */
async function ignoreMissing(removal: Promise<unknown>): Promise<void> {
  try {
    await removal;
  } catch (thrown) {
    if (Fault.from(thrown).code !== "not-found") throw thrown;
  }
}
