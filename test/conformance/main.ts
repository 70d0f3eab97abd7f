/**
 * Has the Docker CLI say anew what it makes of every case and application, and keeps it in `docker-answers.json`. To be
 * run when cases change: node test/conformance/main.ts
 */
import { writeFile } from "node:fs/promises";
import { applications } from "./applications.ts";
import { composeCases } from "./compose-cases.ts";
import { differences } from "./differences.ts";
import { refusals } from "./refusals.ts";
import { askDocker } from "./docker-config.ts";

const answers = await askDocker({ ...composeCases, ...applications, ...differences, ...refusals });
const file = new URL("docker-answers.json", import.meta.url);
await writeFile(file, `${JSON.stringify(answers, null, 2)}\n`);
process.stdout.write(`${Object.keys(answers).length} answers\n`);
