/** How long a service takes to come up, and to go. */
import type { Ground } from "./ground.ts";
import type { Metric, Samples } from "./samples.ts";
import type { Workload } from "./side.ts";
import { deploy, remove, warmUp } from "./trial.ts";

const networkName = "bench";

export interface DeployOptions {
  readonly replicas: number;
  readonly network: boolean;
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

interface Round {
  readonly side: "ours" | "peer";
  readonly deployMs: number;
  readonly removeMs: number;
}

/** The sides take turns, so that what else goes on in the machine meets them alike. */
export async function benchDeploy(
  ground: Ground,
  options: DeployOptions,
): Promise<readonly Metric[]> {
  const { replicas, network, signal, onStep } = options;
  const workload: Workload = {
    ...ground.sleeper("deploy", replicas),
    ...(network ? { network: networkName } : {}),
  };
  const trials = ground.trials(signal);
  for (const trial of trials) {
    if (network) await trial.side.createNetwork(networkName, signal);
    await warmUp(trial, workload);
  }
  const rounds: Round[] = [];
  for (let number = 1; number <= options.rounds; number++) {
    for (const trial of trials) {
      const deployMs = await deploy(trial, workload);
      const removeMs = await remove(trial, workload);
      rounds.push({ side: trial.side.name, deployMs, removeMs });
      const times = `deployed in ${deployMs.toFixed(0)} ms, removed in ${removeMs.toFixed(0)} ms`;
      onStep(`round ${number}, ${trial.side.name}: ${times}`);
    }
  }
  return metricsOf(rounds, replicas);
}

function metricsOf(rounds: readonly Round[], replicas: number): readonly Metric[] {
  return [
    {
      title: `deploy ${replicas}`,
      fields: { ours: "ours_ms", peer: "peer_ms", ratio: "ratio" },
      samples: samplesOf(rounds, ({ deployMs }) => deployMs),
    },
    {
      title: `remove ${replicas}`,
      fields: { ours: "ours_remove_ms", peer: "peer_remove_ms", ratio: "remove_ratio" },
      samples: samplesOf(rounds, ({ removeMs }) => removeMs),
    },
  ];
}

function samplesOf(rounds: readonly Round[], pick: (round: Round) => number): Samples {
  const of = (side: Round["side"]) => rounds.filter((round) => round.side === side).map(pick);
  const [ours, peer] = [of("ours"), of("peer")];
  return peer.length === 0 ? { ours } : { ours, peer };
}
