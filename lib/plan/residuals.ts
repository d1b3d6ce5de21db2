/**
 * What the step on paper says of published runs, beside what their papers say; and the one fitted constant
 * of each chip, found from that.
 *
 * @module
 */

import type { ModelConfig } from "../model/config.ts";
import { presetOf } from "../model/presets.ts";
import { efficiencyOf } from "./efficiency.ts";
import { flopsPerToken } from "./flops.ts";
import { HELD_OUT_RUNS } from "./held_out.ts";
import { type ChipName, hardwareOf } from "./hardware.ts";
import { PUBLISHED_RUNS, type PublishedRun, TWO_PODS } from "./published.ts";
import type { RankRecorder } from "./rank_replay.ts";
import { replayStep, type StepReplay } from "./step_replay.ts";

/** A published figure and what comes out on paper. */
export interface Residual {
  /** What the paper reports. */
  readonly run: PublishedRun;
  /** What the figure counts. */
  readonly unit: string;
  /** What the paper says. */
  readonly published: number;
  /** What comes out here. */
  readonly predicted: number;
  /** predicted / published - 1. */
  readonly error: number;
  /** The step. */
  readonly replay: StepReplay;
}

/** The model of a run. */
function modelOf({ model, preset }: PublishedRun): ModelConfig {
  return model ?? presetOf(preset).config;
}

/** Replays the step of a run; its chip's own constant unless another is given. */
function replayRun(run: PublishedRun, sustained?: number): StepReplay {
  const { hardware: name, step } = run;
  const hardware = hardwareOf(name);
  const own = efficiencyOf(hardware.chip);
  const efficiency = { ...own, sustained: sustained ?? own.sustained };
  return replayStep({ ...step, model: modelOf(run) }, { hardware, efficiency });
}

/** Tokens of a step for every second of a device. */
function tokensPerSecond({ step, devices }: PublishedRun, replay: StepReplay): number {
  return step.sequences * step.seqLen / replay.step / devices;
}

function residual(
  run: PublishedRun,
  values: Pick<Residual, "unit" | "published" | "predicted" | "replay">,
): Residual {
  return { run, ...values, error: values.predicted / values.published - 1 };
}

/** The speed of a run, in its paper's own unit. */
function speedOf(run: PublishedRun, sustained?: number): Residual {
  const replay = replayRun(run, sustained);
  const rate = tokensPerSecond(run, replay);
  if (run.unit === "tokens/s/device") {
    return residual(run, {
      unit: run.unit,
      published: run.tokensPerSecond!,
      predicted: rate,
      replay,
    });
  }
  if (run.unit === "s/step") {
    const published = run.stepSeconds!;
    return residual(run, { unit: run.unit, published, predicted: replay.step, replay });
  }
  const { peakFlops } = hardwareOf(run.hardware);
  const flops = flopsPerToken(modelOf(run), run.step.seqLen).total;
  const published = run.flops ?? run.tokensPerSecond! * flops;
  const [unit, scale] = run.unit === "MFU" ? ["% MFU", 100 / peakFlops] : ["TFLOP/s/device", 1e-12];
  return residual(run, {
    unit,
    published: published * scale,
    predicted: rate * flops * scale,
    replay,
  });
}

/** The speed of two pods over that of one. */
function scalingOf(sustained?: number): Residual {
  const { run, part, speedup } = TWO_PODS;
  const replay = replayRun(run, sustained);
  const alone = replayRun({ ...run, step: part }, sustained);
  const share = part.sequences / run.step.sequences;
  return residual(run, {
    unit: "x one pod",
    published: speedup,
    predicted: alone.step / share / replay.step,
    replay,
  });
}

/**
 * What the ranks of a published run do in a step, task by task.
 *
 * @param record Sees every task; tasks of one lane of a rank follow one another.
 */
export function recordRun(run: PublishedRun, record: RankRecorder): StepReplay {
  const hardware = hardwareOf(run.hardware);
  const device = { hardware, efficiency: efficiencyOf(hardware.chip), record };
  return replayStep({ ...run.step, model: modelOf(run) }, device);
}

/** All published figures, or those of one chip with another constant. */
export function residuals(
  trial?: { readonly chip: ChipName; readonly sustained: number },
): Residual[] {
  const ofChip = ({ hardware }: PublishedRun) =>
    trial === undefined || hardwareOf(hardware).chip === trial.chip;
  const speeds = PUBLISHED_RUNS.filter(ofChip).map((run) => speedOf(run, trial?.sustained));
  return ofChip(TWO_PODS.run) ? [...speeds, scalingOf(trial?.sustained)] : speeds;
}

/** Figures that nothing is fitted to. */
export function heldOutResiduals(): Residual[] {
  return HELD_OUT_RUNS.map((run) => speedOf(run));
}

/** Where the constant is sought, and to what accuracy. */
const [LEAST, MOST, ACCURACY] = [0.3, 1, 0.005];
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * The constant with which the squares of a chip's relative errors add up to the least, by golden sections.
 */
export function fitSustained(chip: ChipName): number {
  const squares = (sustained: number) =>
    residuals({ chip, sustained }).reduce((sum, { error }) => sum + error ** 2, 0);
  let [low, high] = [LEAST, MOST];
  let [left, right] = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)];
  let [atLeft, atRight] = [squares(left), squares(right)];
  while (high - low > ACCURACY / 4) {
    if (atLeft < atRight) {
      [high, right, atRight] = [right, left, atLeft];
      atLeft = squares(left = high - GOLDEN * (high - low));
    } else {
      [low, left, atLeft] = [left, right, atRight];
      atRight = squares(right = low + GOLDEN * (high - low));
    }
  }
  return ACCURACY * Math.round((low + high) / 2 / ACCURACY);
}
