/** What tensor ranks of `tensor_overlap.ts` do: steps of a model, with exchanges hidden or not. */

import { openBackend } from "../../lib/backend/open.ts";
import type { Communicator, Handle } from "../../lib/comm/communicator.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import type { TrainBatch } from "../../lib/model/training/trainable.ts";
import { TrainableModel } from "../../lib/model/training/trainable_model.ts";

/** What a rank is given. */
export interface OverlapInput {
  /** The model. */
  readonly config: ModelConfig;
  /** The batch of every step. */
  readonly batch: TrainBatch;
  /** Steps that count. */
  readonly steps: number;
}

/** Means over the steps, in milliseconds. */
export interface Waited {
  /** A step. */
  readonly stepMs: number;
  /** What of it a rank waited for others. */
  readonly waitedMs: number;
  /** The same by kind of call. */
  readonly byKind: Readonly<Record<string, number>>;
}

/** What a rank measured: exchanges that go on meanwhile, and exchanges that are waited for at once. */
export interface OverlapResult {
  /** As they are. */
  readonly hidden: Waited;
  /** Waited for at once. */
  readonly exposed: Waited;
  /** Whether both gave the same loss. */
  readonly same: boolean;
}

/** A communicator whose calls are waited for where they are started. */
function eager(ranks: Communicator): Communicator {
  const waiting =
    <Args extends unknown[], Result>(start: (...args: Args) => Handle<Result>) =>
    (...args: Args): Handle<Result> => {
      const result = start(...args).wait();
      return { done: () => true, wait: () => result };
    };
  const own: Partial<Communicator> = {
    startAllGather: waiting(ranks.startAllGather.bind(ranks)),
    startReduceScatter: waiting(ranks.startReduceScatter.bind(ranks)),
    startAllReduce: waiting(ranks.startAllReduce.bind(ranks)),
  };
  return new Proxy(ranks, {
    get(target, name) {
      const value = Reflect.get(own, name) ?? Reflect.get(target, name);
      return typeof value === "function" && !(name in own) ? value.bind(target) : value;
    },
  });
}

/** Milliseconds waited so far by kind of call; ranks that come late to a step are no exchange's fault. */
function waitedBy(ranks: Communicator): Record<string, number> {
  const { barrier: _, ...kinds } = ranks.traffic();
  return Object.fromEntries(Object.entries(kinds).map(([kind, { waitedMs }]) => [kind, waitedMs]));
}

/** Trains with exchanges of both kinds by turns. */
export async function run(
  world: Communicator,
  { config, batch, steps }: OverlapInput,
): Promise<OverlapResult> {
  const backend = await openBackend({ backend: "native", threads: 1 });
  const losses: number[] = [];
  const measure = (tensor: Communicator): Waited => {
    const options = { maxRows: batch.tokens.length, parts: { tensor } };
    const model = new TrainableModel(backend, { config }, options);
    model.initialize(1);
    let began = 0;
    let before: Record<string, number> = {};
    for (let step = 0; step <= steps; step++) {
      // The first step warms connections up.
      world.barrier();
      if (step === 1) [began, before] = [performance.now(), waitedBy(world)];
      losses.push(model.forwardBackward(batch, { weightScale: 1, accumulate: false }).ce);
    }
    const stepMs = (performance.now() - began) / steps;
    model.close();
    const byKind = Object.fromEntries(
      Object.entries(waitedBy(world)).map((
        [kind, ms],
      ) => [kind, (ms - (before[kind] ?? 0)) / steps]),
    );
    const waitedMs = Object.values(byKind).reduce((sum, ms) => sum + ms, 0);
    return { stepMs, waitedMs, byKind };
  };
  try {
    const [hidden, exposed] = [measure(world), measure(eager(world))];
    return { hidden, exposed, same: losses.every((loss) => loss === losses[0]) };
  } finally {
    backend.close();
  }
}
