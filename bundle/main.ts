/** `npm run bundle [-- DIR]`: the programs as one file each, in dist/ or DIR; see bundle.ts. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { fastPath, writeBundle } from "./bundle.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const fastPathObject = join(root, fastPath);
const files = await writeBundle({
  target: resolve(process.argv[2] ?? join(root, "dist")),
  ...(existsSync(fastPathObject) ? { fastPathObject } : {}),
});
for (const { name, bytes } of files) {
  process.stdout.write(`${name} ${Math.ceil(bytes / 1024)} KiB\n`);
}
