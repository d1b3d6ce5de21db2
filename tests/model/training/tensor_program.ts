/** What a tensor rank of the tests does: gradients of a batch of a model that it has a part of. */

import type { BackendName } from "../../../lib/backend/backend.ts";
import { openBackend } from "../../../lib/backend/open.ts";
import type { Communicator } from "../../../lib/comm/communicator.ts";
import type { TrafficCount } from "../../../lib/comm/traffic.ts";
import type { ModelConfig } from "../../../lib/model/config.ts";
import type { WeightSlice } from "../../../lib/model/training/parts.ts";
import type {
  DropoutState,
  LossSums,
  TrainBatch,
  TrainingOptions,
} from "../../../lib/model/training/trainable.ts";
import { TrainableModel } from "../../../lib/model/training/trainable_model.ts";
import { countedBackend } from "../../counted_backend.ts";
import { type GoldenModel, goldenSource } from "../golden_models.ts";

/** What a rank is given. */
export interface TensorInput {
  /** Its backend. */
  readonly backend: BackendName;
  /** A golden model with its weights, or a config whose weights are drawn. */
  readonly model: GoldenModel | ModelConfig;
  /** The batches, accumulated. */
  readonly batches: readonly TrainBatch[];
  /** How it trains. */
  readonly options?: Partial<Omit<TrainingOptions, "parts">>;
  /** Weight of log^2 Z. */
  readonly zLoss?: number;
  /** What is dropped. */
  readonly dropout?: DropoutState;
  /** How often the gradients are computed from nothing; the last are told. @default {1} */
  readonly times?: number;
}

/** A parameter's part and its gradient. */
export interface PartGradient {
  /** Canonical name. */
  readonly name: string;
  /** The whole shape. */
  readonly shape: readonly number[];
  /** What of it is here. */
  readonly slice: WeightSlice | undefined;
  /** Which copy it is. */
  readonly copy: number;
  /** The gradient of what is here. */
  readonly gradient: Float32Array;
  /** The weight of what is here. */
  readonly weight: Float32Array;
}

/** What a rank has in the end. */
export interface TensorResult {
  /** Losses of every batch. */
  readonly losses: readonly LossSums[];
  /** The same by `evaluate`, of the first batch. */
  readonly evaluated: LossSums;
  /** Gradients by parameter. */
  readonly gradients: readonly PartGradient[];
  /** Bytes sent by kind of call, of the last time through the batches, without `evaluate`. */
  readonly bytes: Readonly<Record<string, number>>;
  /** The same for calls begun. */
  readonly calls: Readonly<Record<string, number>>;
  /** Bytes that were taken of the backend. */
  readonly taken: number;
}

/** Gradients of some batches. */
export async function run(world: Communicator, input: TensorInput): Promise<TensorResult> {
  const { batches, zLoss = 0, dropout, times = 1 } = input;
  const opened = await openBackend({ backend: input.backend, threads: 1 });
  await opened.ready();
  const { backend, taken } = countedBackend(opened);
  try {
    const maxRows = Math.max(...batches.map(({ tokens }) => tokens.length));
    const options = { maxRows, ...input.options, parts: { tensor: world } };
    const source = typeof input.model === "string" ? await goldenSource(input.model) : undefined;
    const model = new TrainableModel(
      backend,
      source ?? { config: input.model as ModelConfig },
      options,
    );
    const bytesTaken = taken();
    if (source === undefined) model.initialize(3);
    else await model.load(source);
    const count = batches.flatMap(({ targets }) => [...targets]).filter((t) => t >= 0).length;
    let losses: LossSums[] = [];
    let before = trafficOf(world);
    for (let time = 0; time < times; time++) {
      before = trafficOf(world);
      losses = batches.map((batch, index) =>
        model.forwardBackward(batch, {
          weightScale: 1 / count,
          accumulate: index > 0,
          zLoss,
          dropout: dropout && { ...dropout, firstRow: index * maxRows },
        })
      );
    }
    const since = (which: "bytes" | "calls") =>
      Object.fromEntries(
        Object.entries(trafficOf(world)).map(([kind, counts]) =>
          [kind, counts[which] - (before[kind]?.[which] ?? 0)] as const
        ),
      );
    const [bytes, calls] = [since("bytes"), since("calls")];
    const gradients = model.parameters.map((parameter) => ({
      name: parameter.spec.name,
      shape: parameter.spec.shape,
      slice: parameter.slice,
      copy: parameter.copy,
      gradient: model.gradient(parameter),
      weight: model.weight(parameter),
    }));
    const evaluated = model.evaluate(batches[0]!, { zLoss });
    return { losses, evaluated, gradients, bytes, calls, taken: bytesTaken };
  } finally {
    opened.close();
  }
}

function trafficOf(world: Communicator): Readonly<Record<string, TrafficCount>> {
  return world.traffic();
}
