/**
 * The programs as one file each, for hosts that shall have no sources and no node_modules.
 * A program that keeps what V8 compiled begins with a second, tiny file, which says where, before the large one is read.
 */
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type BuildOptions, type Plugin } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Programs by their file in dist/. */
const programs: Readonly<Record<string, string>> = {
  swarmctl: "swarmctl/main.ts",
  "swarmctl-run": "bundle/cached-run.ts",
  swarmd: "swarmd/main.ts",
  "swarmd-run": "swarmd/run.ts",
  manager: "manager/main.ts",
  "log-worker": "manager/log/log-worker.ts",
};

/** Packages that programs import late, where they need them at all, by the file that all programs share. */
const latePackages: Readonly<Record<string, string>> = {
  "late-x509": "@peculiar/x509",
  "late-reflect-metadata": "reflect-metadata",
};

/**
 * Of MiB of half of V8's young generation. A command is over before it is worth while to collect what it leaves; a daemon
 * that is idle shall not keep what it once grew to.
 */
export const nodeFlags: Readonly<Record<string, string>> = {
  swarmctl: "--min-semi-space-size=16",
  swarmd: "--max-semi-space-size=4",
};

/** What programs find by its name: Node resolves them by the package.json of the folder that they lie in. */
export const fastPath = "agent/network/fastpath/fastpath.o";
const scripts = { "package/check-host.sh": "check-host", "package/purge.sh": "purge.sh" } as const;
const imports = {
  "#manager/main.ts": "./manager.js",
  "#manager/log/log-worker.ts": "./log-worker.js",
  [`#${fastPath}`]: "./fastpath.o",
  ...Object.fromEntries(Object.entries(scripts).map(([path, name]) => [`#${path}`, `./${name}`])),
};

/** What a program's main file imports late as ./run.ts stays a file of its own, as late packages do. */
const lateFiles: Plugin = {
  name: "late files",
  setup: (bundler) => {
    const names = new Map(Object.entries(latePackages).map(([name, path]) => [path, name]));
    bundler.onResolve({ filter: /^[@\w]/ }, ({ kind, path }) => {
      const name = names.get(path);
      if (name === undefined) return undefined;
      if (kind === "entry-point") return { path, namespace: "late" };
      return kind === "dynamic-import" ? { path: `./${name}.js`, external: true } : undefined;
    });
    // With its exports by their names, whatever the package is made of.
    bundler.onLoad({ filter: /.*/, namespace: "late" }, ({ path }) => ({
      contents: `export * from "${path}";`,
      resolveDir: root,
    }));
    bundler.onResolve({ filter: /^\.\/run\.ts$/ }, ({ kind, importer }) => {
      const name = Object.keys(programs).find(
        (key) => importer === join(root, programs[key] ?? ""),
      );
      return kind === "dynamic-import" && name !== undefined
        ? { path: `./${name}-run.js`, external: true }
        : undefined;
    });
  },
};

/**
 * Node's own modules are required where they are used. Imported, each is read before the program's first line, and all that
 * it exports is looked at, which loads fetch() and its like: 30 ms of a short life.
 */
const lateBuiltins: Plugin = {
  name: "late builtins",
  setup: (bundler) => {
    const names = new Set(builtinModules.flatMap((name) => [name, `node:${name}`]));
    bundler.onResolve({ filter: /^[\w:/]+$/ }, ({ path, kind }) =>
      kind !== "require-call" && names.has(path) ? { path, namespace: "builtin" } : undefined,
    );
    bundler.onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
      contents: `module.exports = require("${path}");`,
    }));
  },
};

/** An upgrade to another version can be tried with the sources that are there. */
function otherVersion(version: string | undefined): Plugin {
  const file = join(root, "proto/version.ts");
  return {
    name: "other version",
    setup: (bundler) => {
      if (version === undefined) return;
      bundler.onLoad({ filter: /\/proto\/version\.ts$/ }, ({ path }) =>
        path === file
          ? { contents: `export const version = ${JSON.stringify(version)};` }
          : undefined,
      );
    },
  };
}

export interface BundleOptions {
  /** A folder that is made anew. */
  readonly target: string;
  /** Said by the programs instead of that of proto/version.ts. */
  readonly version?: string;
  /** The compiled fast path, which a bundle may lack. */
  readonly fastPathObject?: string;
}

export interface BundledFile {
  readonly name: string;
  readonly bytes: number;
}

/** What differs between two bundles of the same sources is what the options say. */
export async function writeBundle(options: BundleOptions): Promise<readonly BundledFile[]> {
  const { target, fastPathObject } = options;
  const common = {
    absWorkingDir: root,
    outdir: target,
    bundle: true,
    write: false as const,
    platform: "node",
    target: "node24",
    // Packages that are both are taken as modules: of those the exports are known by name.
    mainFields: ["module", "main"],
    // Names stay: faults and heap snapshots tell of classes.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none",
    plugins: [lateFiles, lateBuiltins, otherVersion(options.version)],
    logLevel: "warning",
  } satisfies BuildOptions;
  // What bundle/cached-run.ts runs, which must be no module for that.
  const { outputFiles: code } = await build({
    ...common,
    entryPoints: { "swarmctl-code": "swarmctl/run.ts" },
    format: "cjs",
    outExtension: { ".js": ".cjs" },
    define: { "import.meta": "importMeta" },
  });
  const codeHash = createHash("sha256");
  for (const { contents } of code) codeHash.update(contents);
  const { outputFiles: modules } = await build({
    ...common,
    entryPoints: { ...programs, ...latePackages },
    format: "esm",
    define: { codeHash: JSON.stringify(codeHash.digest("hex")) },
    // Packages in CommonJS look for Node's modules with it.
    banner: {
      js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
    },
  });
  const outputFiles = [...modules, ...code];
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  for (const { path, contents } of code) await writeFile(path, contents);
  for (const { path, text } of modules) {
    const flag = nodeFlags[basename(path, ".js")];
    const start = flag === undefined ? "#!/usr/bin/env node" : `#!/usr/bin/env -S node ${flag}`;
    await writeFile(path, text.replace(/^#!.*/, start));
  }
  await writeFile(
    join(target, "package.json"),
    `${JSON.stringify({ type: "module", imports }, undefined, 2)}\n`,
  );
  for (const [script, name] of Object.entries(scripts)) {
    // Not copied: a copy has the mode that the sources happen to have.
    await writeFile(join(target, name), await readFile(join(root, script)));
  }
  if (fastPathObject !== undefined) await copyFile(fastPathObject, join(target, "fastpath.o"));
  for (const program of ["swarmctl", "swarmd"]) await chmod(join(target, `${program}.js`), 0o755);
  return outputFiles.map(({ path, contents }) => ({
    name: basename(path),
    bytes: contents.length,
  }));
}
