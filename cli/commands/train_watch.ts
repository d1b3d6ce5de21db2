/**
 * What a user sees of a run: lines and a progress bar, event files of TensorBoard, samples, and the
 * report.
 *
 * @module
 */

import { Interrupted, LlameroError } from "../../lib/base/errors.ts";
import { formatBytes, formatCount, formatDuration } from "../../lib/base/format.ts";
import { appendLine } from "../../lib/base/append_line.ts";
import { fileError } from "../../lib/base/file_error.ts";
import { flopsPerToken } from "../../lib/plan/flops.ts";
import { BatchRamp } from "../../lib/data/ramp.ts";
import type { Tokenizer } from "../../lib/tokenizer/tokenizer.ts";
import type { CommunicationReport } from "../../lib/train/communication.ts";
import type { RunEvent } from "../../lib/train/events.ts";
import type { MetricsRow } from "../../lib/train/metrics.ts";
import type { RunObserver } from "../../lib/train/observer.ts";
import { writeReport } from "../../lib/train/report.ts";
import type { ObservedSession } from "../../lib/train/run.ts";
import type { RunConfig } from "../../lib/train/run_config.ts";
import type { RunPaths } from "../../lib/train/run_folder.ts";
import { sampleText } from "../../lib/train/sample.ts";
import type { WholeWeights } from "../../lib/train/whole_weights.ts";
import { EventFile, type ScalarEvent } from "../../lib/train/tensorboard.ts";
import type { Io } from "../io.ts";
import type { Log, Ticker } from "../ui/log.ts";

/** What a watch is made with. */
export interface WatchOptions {
  /** The run's config. */
  readonly config: RunConfig;
  /** The run's folder. */
  readonly paths: RunPaths;
  /** The tokenizer, for samples. */
  readonly tokenizer: Tokenizer;
  /** Where notes go. */
  readonly log: Log;
  /** Whether a person looks at stderr. */
  readonly io: Pick<Io, "stderr">;
}

/** Watches one session of a run. */
export class Watch implements RunObserver {
  readonly #options: WatchOptions;
  readonly #session: ObservedSession;
  readonly #ramp: BatchRamp;
  readonly #events: EventFile;
  readonly #totalTokens: number;
  #ticker: Ticker | undefined;
  #from: { tokens: number; time: number };
  /** The last row. */
  last: MetricsRow | undefined;

  /** Opens the event file of a session. */
  constructor(session: ObservedSession, options: WatchOptions) {
    this.#options = options;
    this.#session = session;
    const { settings } = options.config;
    this.#ramp = new BatchRamp(settings);
    this.#totalTokens = this.#ramp.tokensBefore(settings.steps);
    this.#events = new EventFile(options.paths.tensorboard, session.state.step);
    this.#from = { tokens: session.state.tokens, time: performance.now() };
  }

  /** Operations per token of a step. */
  flopsPerToken(step: number): number {
    const { seqLen } = this.#ramp.at(Math.max(0, step - 1));
    return flopsPerToken(this.#options.config.model, seqLen).total;
  }

  /** A step was kept. */
  step(row: MetricsRow): void {
    this.last = row;
    const { log, config: { settings }, io } = this.#options;
    const due = row.step % settings.logEvery === 0 || row.step === settings.steps;
    this.#events.add(scalarsOf(row));
    if (due) this.#events.flush();
    if (due || row.eval_loss !== undefined) log.note(this.#line(row));
    if (io.stderr.terminal) this.#tick(row);
  }

  #tick(row: MetricsRow): void {
    const { log, config: { settings } } = this.#options;
    this.#ticker ??= log.progress({
      label: "training",
      total: this.#totalTokens - this.#from.tokens,
      unit: "tokens",
    });
    const note = `step ${row.step}/${settings.steps}  loss ${shown(row.loss)}`;
    this.#ticker.update(row.tokens - this.#from.tokens, note);
  }

  #line(row: MetricsRow): string {
    const { settings } = this.#options.config;
    const perMs = (row.tokens - this.#from.tokens) / (performance.now() - this.#from.time);
    const left = (this.#totalTokens - row.tokens) / perMs;
    const parts = [
      `step ${String(row.step).padStart(String(settings.steps).length)}/${settings.steps}`,
      `loss ${shown(row.loss)}`,
      `norm ${shown(row.grad_norm)}`,
      `lr ${row.lr.toExponential(2)}`,
      `${formatCount(row.tokens_per_second)} tokens/s`,
      `MFU ${(100 * row.mfu).toFixed(1)}%`,
      ...(row.step < settings.steps ? [`${formatDuration(left)} left`] : []),
    ];
    if (row.eval_loss !== undefined) {
      parts.push(`eval ${shown(row.eval_loss)} (${row.eval_bits_per_byte!.toFixed(3)} bits/byte)`);
    }
    return parts.join("  ");
  }

  /** Something else happened. */
  event(event: RunEvent): void {
    const { log } = this.#options;
    switch (event.event) {
      case "start":
        if (event.step > 0) log.note(`going on after step ${event.step}`);
        break;
      case "lost":
        if (event.steps > 0) log.note(`${event.steps} steps after the checkpoint are done again`);
        break;
      case "save":
        log.detail(
          `saved step ${event.step}; it took ${formatDuration(event.stall_ms)} of training`,
        );
        writeReport(this.#options.paths, this.#options.config);
        break;
      case "damaged":
        log.warn(`passed over a checkpoint: ${event.message}`);
        break;
      case "dropped":
        log.warn(`step ${event.step} changed nothing: ${event.reason}`);
        break;
      case "spike":
        log.warn(
          `spike in step ${event.step}: ${event.reason}; went back to step ${event.rewind_to}, ` +
            `skips ${event.skip_batches} batches from step ${event.skip_step} on`,
        );
        break;
      case "communication":
        log.detail(communicationLine(event));
        break;
      case "restart":
      case "end":
        break;
    }
  }

  /** The run went back. */
  rewound(step: number): void {
    this.#events.restart(step);
    const state = { tokens: this.#ramp.tokensBefore(step), time: performance.now() };
    this.#from = state;
    this.#ticker?.finish();
    this.#ticker = undefined;
  }

  /** A sample is due. */
  async sample(step: number, placed: WholeWeights["placed"]): Promise<void> {
    const { config: { model, settings }, tokenizer, log, paths } = this.#options;
    let text: string;
    try {
      text = await sampleText(placed, {
        backend: this.#session.backend,
        config: model,
        tokenizer,
        prompt: settings.samplePrompt,
        tokens: settings.sampleTokens,
        seed: settings.seed,
      });
    } catch (thrown) {
      // A look at the model is never worth the run: weights that overflow end it by their loss.
      if (!(thrown instanceof LlameroError) || thrown instanceof Interrupted) throw thrown;
      return log.note(`no sample of step ${step}: ${thrown.message}`);
    }
    try {
      appendLine(paths.samples, JSON.stringify({ step, text }));
    } catch (thrown) {
      throw fileError(thrown, { action: "write", path: paths.samples });
    }
    log.note(`sample: ${JSON.stringify(text)}`);
  }

  /** Ends the session: nothing is shown or written any more. */
  close(): void {
    this.#ticker?.finish();
    this.#events.close();
  }
}

/** "communication: 3.1% exposed; data 1.2 MB, 3.0%; world 4.0 kB, 0.1%". */
function communicationLine({ exposed, schemes, pipeline }: CommunicationReport): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const parts = Object.entries(schemes).map(([name, { bytes, exposed }]) =>
    `${name} ${formatBytes(bytes)}, ${percent(exposed)}`
  );
  const stages = pipeline === undefined ? [] : [
    `stages stood still for ${percent(pipeline.waited)} of the time that they computed, ` +
    `of which the bubble explains ${percent(pipeline.bubble)} (${
      percent(pipeline.formula)
    } were they even)`,
  ];
  return [`communication: ${percent(exposed)} of the time exposed`, ...parts, ...stages].join("; ");
}

function shown(value: number | null): string {
  return value === null ? "not finite" : value.toFixed(4);
}

function scalarsOf(row: MetricsRow): ScalarEvent {
  const values = {
    "train/loss": row.loss,
    "train/grad_norm": row.grad_norm,
    "train/lr": row.lr,
    "eval/loss": row.eval_loss,
    "eval/bits_per_byte": row.eval_bits_per_byte,
    "speed/tokens_per_second": row.tokens_per_second,
    "speed/mfu": row.mfu,
  };
  const given = Object.entries(values).filter(([, value]) => typeof value === "number");
  return {
    wallTime: Date.now() / 1000,
    step: row.step,
    scalars: Object.fromEntries(given) as Record<string, number>,
  };
}
