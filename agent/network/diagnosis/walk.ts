/** The steps of a trace, in order. The first that failed is where the way ends. */
import { create } from "@bufbuild/protobuf";
import {
  type TraceStep,
  TraceStep_Outcome as Outcome,
  TraceStepSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";

export class Walk {
  readonly steps: TraceStep[] = [];

  get failed(): boolean {
    return this.steps.some(({ outcome }) => outcome === Outcome.FAILED);
  }

  ok(text: string): void {
    this.#add(Outcome.OK, text);
  }

  note(text: string): void {
    this.#add(Outcome.NOTE, text);
  }

  fail(text: string): void {
    this.#add(Outcome.FAILED, text);
  }

  #add(outcome: Outcome, text: string): void {
    this.steps.push(create(TraceStepSchema, { outcome, text }));
  }
}
