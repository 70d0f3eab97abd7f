/** `deploy.restart_policy`, or `restart` of the Compose Specification where there is none → a service's restart policy. */
import { create } from "@bufbuild/protobuf";
import {
  RestartCondition,
  type RestartPolicy,
  RestartPolicySchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { ServiceEntry } from "../compose/compose-file.ts";
import { parseNotNegative } from "./duration.ts";
import { type Reader, refusal } from "./reader.ts";

const conditions = {
  none: RestartCondition.NONE,
  "on-failure": RestartCondition.ON_FAILURE,
  any: RestartCondition.ANY,
} as const;

/** `reader`: of the service. A job's tasks are to end, so they start again only when they fail. */
export function restartPolicy(reader: Reader, { deploy, restart }: ServiceEntry): RestartPolicy {
  const policy = deploy?.restart_policy;
  const isJob = deploy?.mode?.endsWith("-job") ?? false;
  const fallback = isJob ? RestartCondition.ON_FAILURE : RestartCondition.ANY;
  if (policy === undefined) {
    return reader.one("restart", restart, parseRestart) ?? policyOf(fallback);
  }
  const place = reader.under("deploy", "restart_policy");
  const delay = place.one("delay", policy.delay, parseNotNegative);
  const window = place.one("window", policy.window, parseNotNegative);
  const { condition, max_attempts: maxAttempts = 0 } = policy;
  return create(RestartPolicySchema, {
    condition: condition === undefined ? fallback : conditions[condition],
    maxAttempts: BigInt(maxAttempts),
    ...(delay !== undefined && { delay }),
    ...(window !== undefined && { window }),
  });
}

/** Docker has "no" restart for ever in a stack; here it means what it says. */
function parseRestart(text: string): RestartPolicy {
  const { word, attempts } =
    /^(?<word>no|always|unless-stopped|on-failure(?::(?<attempts>\d{1,15}))?)$/.exec(text)
      ?.groups ?? {};
  if (word === undefined) {
    throw refusal(`"${text}" is none of no, always, unless-stopped and on-failure[:ATTEMPTS]`);
  }
  if (word === "no") return policyOf(RestartCondition.NONE);
  if (!word.startsWith("on-failure")) return policyOf(RestartCondition.ANY);
  return policyOf(RestartCondition.ON_FAILURE, BigInt(attempts ?? 0));
}

function policyOf(condition: RestartCondition, maxAttempts = 0n): RestartPolicy {
  return create(RestartPolicySchema, { condition, maxAttempts });
}
