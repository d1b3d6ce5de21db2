/**
 * A training run on paper: parameters, operations, memory and time.
 *
 * @module
 */

import type { ModelConfig } from "../model/config.ts";
import { countParameters, type ParameterCounts } from "../model/parameters.ts";
import { planTrainingBytes } from "../model/training/memory.ts";
import { trainingScratchBytes } from "../model/training/scratch.ts";
import type { TrainingBytes, TrainingOptions } from "../model/training/trainable.ts";
import { flopsPerToken, matrixParameters, type TokenFlops } from "./flops.ts";
import { hardwareOf } from "./hardware.ts";
import { publishedRun } from "./published.ts";

/** What is planned. */
export interface TrainPlanOptions {
  /** Config of what is trained. */
  readonly model: ModelConfig;
  /** Name of its preset, where it is one's. */
  readonly preset?: string | undefined;
  /** Tokens of the run. */
  readonly tokens: number;
  /** Tokens of a sequence. */
  readonly seqLen: number;
  /** How memory is planned. */
  readonly training: TrainingOptions;
  /** What it is trained on. */
  readonly machine: PlannedMachine;
  /** Share of its peak that a step on paper reaches, where there is one. */
  readonly predictedMfu?: number | undefined;
}

/** What a plan is for: a named kind of device, or this machine by its measured peak. */
export type PlannedMachine =
  | { readonly hardware: string; readonly devices: number }
  | { readonly peakFlops: number; readonly memory: number; readonly threads: number };

/** A run on paper. */
export interface TrainPlan {
  /** Parameters by kind. */
  readonly parameters: ParameterCounts;
  /** Those that every token is multiplied by. */
  readonly matrixParameters: number;
  /** Operations per token. */
  readonly flopsPerToken: TokenFlops;
  /** Operations of the run. */
  readonly totalFlops: number;
  /** Bytes by kind, were all of it on one device. */
  readonly bytes: TrainingBytes;
  /** Bytes that kernels take for themselves besides; 0 for named devices, whose kernels are others. */
  readonly scratchBytes: number;
  /** Bytes of a checkpoint on disk; so many are copied while one is saved. */
  readonly checkpointBytes: number;
  /** What it runs on. */
  readonly machine: {
    readonly name: string;
    readonly devices: number;
    /** Peak operations per second of one device. */
    readonly peakFlops: number;
    /** Bytes of one device. */
    readonly memory: number;
  };
  /** Share of the peak that the time is computed with. */
  readonly mfu: number;
  /** Why this share. */
  readonly mfuSource: string;
  /** Tokens per second of all devices. */
  readonly tokensPerSecond: number;
  /** Seconds of the run. */
  readonly seconds: number;
}

/** Share of the peak that is taken for a machine of which nothing was published. */
const ASSUMED_MFU = 0.5;

/**
 * Plans a run: `seconds = tokens (6 N + 12 L H Q T) / (devices peak MFU)`. Where a paper has published
 * its speed for the model on these devices, the share is the paper's, else that of a step on paper.
 *
 * @throws {UsageError} For a machine that is not known.
 */
export function planTraining(options: TrainPlanOptions): TrainPlan {
  const { model, tokens, seqLen, training } = options;
  const parameters = countParameters(model);
  const perToken = flopsPerToken(model, seqLen);
  const { machine, mfu, mfuSource } = speedOf(options, perToken.total);
  const tokensPerSecond = (machine.devices * machine.peakFlops * mfu) / perToken.total;
  return {
    parameters,
    matrixParameters: matrixParameters(model),
    flopsPerToken: perToken,
    totalFlops: perToken.total * tokens,
    bytes: planTrainingBytes(model, training),
    scratchBytes: "threads" in options.machine
      ? trainingScratchBytes(model, {
        rows: training.maxRows,
        seqLen,
        threads: options.machine.threads,
      })
      : 0,
    checkpointBytes: 12 * parameters.total,
    machine,
    mfu,
    mfuSource,
    tokensPerSecond,
    seconds: tokens / tokensPerSecond,
  };
}

function speedOf(
  { machine, preset, predictedMfu }: TrainPlanOptions,
  flops: number,
): Pick<TrainPlan, "machine" | "mfu" | "mfuSource"> {
  if (!("hardware" in machine)) {
    const { peakFlops, memory } = machine;
    return {
      machine: { name: "this machine", devices: 1, peakFlops, memory },
      mfu: ASSUMED_MFU,
      mfuSource: "assumed; peak measured",
    };
  }
  const { name, title, peakFlops, memory, usualMfu } = hardwareOf(machine.hardware);
  const published = publishedRun(preset, name);
  const planned = { name: title, devices: machine.devices, peakFlops, memory };
  if (published === undefined && predictedMfu !== undefined) {
    return { machine: planned, mfu: predictedMfu, mfuSource: "the step on paper below" };
  }
  if (published === undefined) {
    return { machine: planned, mfu: usualMfu, mfuSource: "usual for well-made training" };
  }
  const reached = published.flops ?? published.tokensPerSecond! * flops;
  return { machine: planned, mfu: reached / peakFlops, mfuSource: published.source };
}
