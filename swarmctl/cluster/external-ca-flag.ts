/** Docker's --external-ca, refused with the reason: whoever has it in a script shall not look for a misspelt word. */
import { Option } from "commander";
import { Fault } from "#proto/fault.ts";
import { flag } from "../flags/parse-flag.ts";

export function externalCaFlag(): Option {
  return new Option("--external-ca <spec>", "not there").hideHelp().argParser(
    flag(() => {
      const problem =
        "certificates are signed by the managers alone; give them a root of your own with cluster ca --rotate --ca-cert --ca-key";
      throw new Fault("unimplemented", problem);
    }),
  );
}
