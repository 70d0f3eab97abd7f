/** Runs where the registry can be reached. usage: push-main.ts REGISTRY-URL LAYOUT REPOSITORY:TAG */
import { Fault } from "#proto/fault.ts";
import { pushLayout } from "./push.ts";

const [registry, layout, name] = process.argv.slice(2);
const [, repository, tag] = /^([^:]+):([^:]+)$/.exec(name ?? "") ?? [];
if (!registry || !layout || !repository || !tag) {
  console.error("usage: push-main.ts REGISTRY-URL LAYOUT REPOSITORY:TAG");
  process.exit(2);
}
try {
  await pushLayout(layout, { registry, repository, tag });
} catch (thrown) {
  console.error(Fault.wrap(`Cannot push "${name}"`, thrown).message);
  process.exitCode = 1;
}
