/** After `cluster apply`: the cluster as a context of its user, so that the commands that follow reach it from here. */
import { Fault } from "#proto/fault.ts";
import type { ManagerLink } from "#provision/manager-link.ts";
import type { Context } from "../context.ts";
import { ContextFolder } from "../context/context-folder.ts";

/** Leaves a context of this name alone. It is used at once where no other is. */
export async function saveClusterContext(
  { io }: Context,
  name: string,
  link: ManagerLink,
): Promise<void> {
  const folder = ContextFolder.find(io);
  if (folder === undefined) {
    io.stderr.write("Warning: no context is saved: neither HOME nor XDG_CONFIG_HOME is set\n");
    return;
  }
  const cluster = await link.ask((control) => control.getCluster({}));
  const clusterId = cluster.cluster?.id ?? "";
  if ((await folder.names()).includes(name)) {
    const present = await folder.load(name);
    if (present.clusterId === clusterId) return;
    const advice = `remove it ("swarmctl context rm ${name}") and run this again`;
    io.stderr.write(`Warning: the context "${name}" is of another cluster: ${advice}\n`);
    return;
  }
  const { createCertificateRequest } = await import("#proto/tls/certificate-request.ts");
  const { key, csr } = await createCertificateRequest();
  const reply = await link.ask((control) => control.issueUserCertificate({ name, csr }));
  const { certificate, caCertificates, managers } = reply;
  if (reply.clusterId !== clusterId)
    throw new Fault("internal", "The manager is of another cluster");
  await folder.add(name, { clusterId, managers, caCertificates, certificate, key });
  const isUsed = (await folder.current()) === undefined;
  if (isUsed) await folder.use(name);
  io.stderr.write(
    isUsed
      ? `The context "${name}" leads to the cluster, and is in use.\n`
      : `The context "${name}" leads to the cluster: choose it with "swarmctl context use ${name}".\n`,
  );
}
