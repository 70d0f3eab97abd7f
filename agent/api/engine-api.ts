/**
 * The node's engine as others reach it: over TLS on its engine address, with the certificate that the node has. It serves
 * from the moment that there is one, and tries again while it cannot listen: nothing else of the node waits for it.
 */
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { serveEndpoint } from "#proto/endpoint.ts";
import { engineServices } from "#proto/engine-services.ts";
import { Fault } from "#proto/fault.ts";
import type {
  ContainerService,
  EngineService,
  HostService,
  ImageService,
  LayerService,
  NetworkService,
  VolumeService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { addService, type Handlers } from "#proto/grpc.ts";
import type { GrpcServer } from "#proto/grpc-server.ts";
import type { Ports } from "#proto/ports.ts";
import type { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import { KnownManagers } from "./known-managers.ts";
import { authorizer } from "./rules.ts";

/** What there is to serve. Methods that are not here are answered with "unimplemented", in words. */
export interface EngineHandlers {
  readonly images?: Partial<Handlers<typeof ImageService>>;
  readonly volumes?: Partial<Handlers<typeof VolumeService>>;
  readonly containers?: Partial<Handlers<typeof ContainerService>>;
  readonly engine?: Partial<Handlers<typeof EngineService>>;
  readonly networks?: Partial<Handlers<typeof NetworkService>>;
  readonly host?: Partial<Handlers<typeof HostService>>;
  readonly layers?: Partial<Handlers<typeof LayerService>>;
}

export interface EngineApiOptions {
  /** HOST:PORT. */
  readonly address: string;
  readonly clusterId: string;
  /** Resolves when the node's certificate can be used. */
  readonly identity: Promise<TlsIdentityHolder>;
  readonly handlers: EngineHandlers;
  readonly managers: KnownManagers;
}

/** Between two attempts to listen. */
const againMs = 5_000;

/** Serves until it is disposed of. */
export function serveEngineApi(options: EngineApiOptions, ports: Ports): AsyncDisposable {
  const stopping = new AbortController();
  const serving = serveUntil(stopping.signal, options, ports);
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await serving;
    },
  };
}

async function serveUntil(
  signal: AbortSignal,
  { identity, ...options }: EngineApiOptions,
  ports: Ports,
): Promise<void> {
  const stopped = new Promise<undefined>((resolve) => {
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  const holder = await Promise.race([identity.catch(() => undefined), stopped]);
  if (holder === undefined) return;
  const { address, clusterId, handlers, managers } = options;
  const addServices = (server: GrpcServer) => addEngineServices(server, handlers, managers);
  const tls = { identity: holder, clusterId };
  while (!signal.aborted) {
    try {
      await using endpoint = await serveEndpoint(
        address,
        { tls, addServices, owner: "swarmd" },
        ports,
      );
      ports.log.info("The engine serves", { address: endpoint.address });
      await stopped;
    } catch (thrown) {
      const { message, code } = Fault.wrap("Cannot serve the engine to managers", thrown);
      ports.log.error(message, { code });
      await ports.clock.sleep(againMs, signal).catch(() => undefined);
    }
  }
}

/** All services of an engine, whether or not there is something behind them. */
export function addEngineServices(
  server: GrpcServer,
  handlers: EngineHandlers,
  managers = new KnownManagers(),
): void {
  const authorize = authorizer(managers);
  const given: Readonly<Record<string, Partial<Record<string, unknown>> | undefined>> = {
    ImageService: handlers.images,
    VolumeService: handlers.volumes,
    ContainerService: handlers.containers,
    EngineService: handlers.engine,
    LayerService: handlers.layers,
    NetworkService: handlers.networks,
    HostService: handlers.host,
  };
  for (const service of engineServices) {
    addService(server, service, whole(service, given[service.name] ?? {}), authorize);
  }
}

function whole(
  service: DescService,
  given: Partial<Record<string, unknown>>,
): Handlers<DescService> {
  const handlers = service.methods.map((method) => [
    method.localName,
    given[method.localName] ?? refusing(method),
  ]);
  return Object.fromEntries(handlers) as Handlers<DescService>;
}

function refusing({ methodKind, name }: DescMethod): unknown {
  const refuse = () =>
    Promise.reject<never[]>(
      new Fault("unimplemented", `This node's swarmd has no ${name}: it is of another version`),
    );
  if (methodKind === "unary" || methodKind === "client_streaming") return refuse;
  // A stream fails when it is read.
  return async function* () {
    yield* await refuse();
  };
}
