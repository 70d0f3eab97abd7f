/**
 * The two sockets of a host, served from a temporary folder with handlers of the test's choosing, so that commands meet
 * real gRPC. What is not handled answers "unimplemented".
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  ContainerService,
  EngineService,
  HostService,
  ImageService,
  VolumeService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import { type Endpoint, serveEndpoint } from "#proto/endpoint.ts";
import { addService, type Handlers } from "#proto/grpc.ts";
import type { GrpcServer } from "#proto/grpc-server.ts";
import { systemClock } from "#proto/system-ports.ts";

export interface FakeHost {
  readonly control?: Partial<Handlers<typeof ControlService>>;
  readonly node?: Partial<Handlers<typeof NodeService>>;
  /** Of all nodes' engines, behind the manager. */
  readonly volumes?: Partial<Handlers<typeof VolumeService>>;
  readonly containers?: Partial<Handlers<typeof ContainerService>>;
  readonly images?: Partial<Handlers<typeof ImageService>>;
  readonly engine?: Partial<Handlers<typeof EngineService>>;
  readonly hosts?: Partial<Handlers<typeof HostService>>;
}

export class FakeCluster implements AsyncDisposable {
  readonly runRoot: string;
  readonly #servers: readonly Endpoint[];

  constructor(runRoot: string, servers: readonly Endpoint[]) {
    this.runRoot = runRoot;
    this.#servers = servers;
  }

  static async open(host: FakeHost): Promise<FakeCluster> {
    const runRoot = await mkdtemp(join(tmpdir(), "swarmctl-"));
    const servers: Endpoint[] = [];
    if (host.control !== undefined) {
      const { control, volumes = {}, containers = {}, images = {}, engine = {}, hosts = {} } = host;
      servers.push(
        await serve(join(runRoot, "manager.sock"), (server) => {
          addService(server, ControlService, complete(ControlService, control));
          addService(server, VolumeService, complete(VolumeService, volumes));
          addService(server, ContainerService, complete(ContainerService, containers));
          addService(server, ImageService, complete(ImageService, images));
          addService(server, EngineService, complete(EngineService, engine));
          addService(server, HostService, complete(HostService, hosts));
        }),
      );
    }
    if (host.node !== undefined) {
      const { node } = host;
      servers.push(
        await serve(join(runRoot, "swarmd.sock"), (server) =>
          addService(server, NodeService, complete(NodeService, node)),
        ),
      );
    }
    return new FakeCluster(runRoot, servers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) await server[Symbol.asyncDispose]();
    await rm(this.runRoot, { recursive: true, force: true });
  }
}

function serve(path: string, addServices: (server: GrpcServer) => void): Promise<Endpoint> {
  return serveEndpoint(`unix:${path}`, { owner: "manager", addServices }, { clock: systemClock });
}

/** Handlers of all methods: those that the test does not give refuse. */
export function complete<S extends DescService>(
  service: S,
  given: Partial<Handlers<S>>,
): Handlers<S> {
  const refuse = (name: string) => new Fault("unimplemented", `the test does not handle ${name}`);
  const missing = service.methods.map(({ localName, methodKind }) => [
    localName,
    methodKind === "unary"
      ? () => Promise.reject(refuse(localName))
      : // A stream fails when it is read.
        async function* () {
          yield* await Promise.reject<never[]>(refuse(localName));
        },
  ]);
  return { ...Object.fromEntries(missing), ...given } as Handlers<S>;
}
