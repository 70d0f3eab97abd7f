/** Has the Docker CLI say anew what it makes of every case. To be run when cases change: node test/conformance/service-flags/main.ts */
import { writeFile } from "node:fs/promises";
import { askDocker } from "./ask-docker.ts";

const answers = await askDocker();
const file = new URL("docker-answers.json", import.meta.url);
await writeFile(file, `${JSON.stringify(answers, null, 2)}\n`);
process.stdout.write(`${Object.keys(answers).length} answers\n`);
