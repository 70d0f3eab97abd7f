import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { CaConfigSchema, type ClusterSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Context } from "../context.ts";
import { externalCaFlag } from "./external-ca-flag.ts";
import { duration, flag } from "../flags/parse-flag.ts";
import { readText } from "../read-file.ts";
import { changeCluster } from "./change-cluster.ts";
import { waitForRotation } from "./root-rotation.ts";

interface Options {
  readonly rotate?: true;
  readonly caCert?: string;
  readonly caKey?: string;
  readonly certExpiry?: Duration;
  readonly detach?: true;
  readonly quiet?: true;
}

export function define(command: Command, context: Context): void {
  command
    .addOption(externalCaFlag())
    .option("--rotate", "make a new root, or take one, and renew every node's certificate")
    .option("--ca-cert <file>", "the new root, PEM; with --rotate")
    .option("--ca-key <file>", "its key, PEM; with --ca-cert")
    .option("--cert-expiry <duration>", "how long node certificates hold", flag(duration))
    .option("-d, --detach", "return at once instead of waiting for every node")
    .option("-q, --quiet", "show no progress")
    .action(async (options: Options) => {
      checkFlags(command, options);
      const signing = await signingAuthority(context, options);
      const control = await context.control();
      if (options.rotate) {
        await changeCluster(control, (spec) => withNewRoot(spec, signing, options.certExpiry));
        if (options.detach) return;
        await waitForRotation(context, control, { quiet: options.quiet ?? false });
        context.io.stderr.write(
          "Contexts that were made before trust the old root only: create them anew.\n",
        );
      }
      const { cluster } = await control.getCluster({});
      const pem = Buffer.from(cluster?.rootCa?.caCert ?? []).toString();
      if (pem === "") throw new Fault("not-found", "The cluster has no root certificate");
      context.io.stdout.write(`${pem.trimEnd()}\n`);
    });
}

function checkFlags(command: Command, options: Options): void {
  const { rotate, caCert, caKey, certExpiry, detach } = options;
  const others = {
    "--ca-cert": caCert,
    "--ca-key": caKey,
    "--cert-expiry": certExpiry,
    "-d": detach,
  };
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined && !rotate) command.error(`error: '${name}' needs '--rotate'`);
  }
  if ((caCert === undefined) !== (caKey === undefined)) {
    command.error("error: '--ca-cert' and '--ca-key' belong together");
  }
}

interface SigningAuthority {
  readonly signingCaCert: Uint8Array;
  readonly signingCaKey: Uint8Array;
}

const managersOwn: SigningAuthority = {
  signingCaCert: new Uint8Array(),
  signingCaKey: new Uint8Array(),
};

async function signingAuthority(
  { io }: Context,
  { caCert, caKey }: Options,
): Promise<SigningAuthority> {
  if (caCert === undefined || caKey === undefined) return managersOwn;
  return {
    signingCaCert: Buffer.from(await readText(io, caCert)),
    signingCaKey: Buffer.from(await readText(io, caKey)),
  };
}

function withNewRoot(
  spec: ClusterSpec,
  signing: SigningAuthority,
  nodeCertExpiry: Duration | undefined,
): ClusterSpec {
  const ca = spec.ca ?? create(CaConfigSchema);
  return {
    ...spec,
    ca: {
      ...ca,
      ...(nodeCertExpiry !== undefined && { nodeCertExpiry }),
      ...signing,
      forceRotate: ca.forceRotate + 1n,
    },
  };
}
