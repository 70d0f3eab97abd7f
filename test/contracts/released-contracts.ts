/**
 * `npm run -s released > test/contracts/released.proto`, when a release is made: the wire contracts as one file without comments.
 * Later ones are held against it (`buf breaking`), for as long as hosts of that release may be in a cluster with newer ones.
 */
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../proto", import.meta.url));
const texts = globSync("swarm/v1/*.proto", { cwd: folder })
  .toSorted()
  .map((file) => readFileSync(`${folder}/${file}`, "utf8"));
const lines = texts.flatMap((text) =>
  text.split("\n").map((line) => line.replace(/\s*\/\/.*/, "")),
);
const isHeader = /^(syntax|package|import) /;
const imports = new Set(lines.filter((line) => line.startsWith('import "google/')));
const header = ['syntax = "proto3";', "package swarm.v1;", ...imports];
const body = lines.filter((line) => line.trim() !== "" && !isHeader.test(line));
process.stdout.write(`${[...header, ...body].join("\n")}\n`);
