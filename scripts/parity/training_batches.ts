/**
 * Writes what a run trains on for another program, into FOLDER:
 *
 *     deno run -A scripts/parity/training_batches.ts RUN FOLDER
 *
 * - `train.i32`: tokens, then targets of every step, `[steps][2][sequences * seqLen]` as int32;
 * - `eval.i32`: the same of every held-out sequence, `[evaluated][2][seqLen]`;
 * - `rates.json`: the learning rate of every step.
 *
 * @module
 */

import { join } from "node:path";
import { evaluationBatches, type SequenceBatch } from "../../lib/data/batches.ts";
import { readRunConfig } from "../../lib/train/resume_config.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { learningRate } from "../../lib/train/schedule.ts";
import { openRunData } from "../../lib/train/setup.ts";

const [run, folder] = Deno.args;
if (run === undefined || folder === undefined) {
  console.error("Cannot write batches: a run and a folder were wanted");
  Deno.exit(2);
}
const { settings, model } = readRunConfig(runPaths(run), []);
const data = openRunData({ settings, model, preset: undefined, origins: new Map() });
const { seqLen, steps, documentMask } = settings;

function write(name: string, batches: Iterable<SequenceBatch>): void {
  using file = Deno.openSync(join(folder!, name), { write: true, create: true, truncate: true });
  for (const { tokens, targets } of batches) {
    for (const array of [tokens, targets]) {
      const bytes = new Uint8Array(array.buffer);
      for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    }
  }
}

function* stepsOfRun(): Generator<SequenceBatch> {
  for (let step = 0; step < steps; step++) {
    // All sequences of a step at once.
    yield* data.training.step(step, { microBatch: 1 << 20, skips: settings.skipBatches });
  }
}

Deno.mkdirSync(folder, { recursive: true });
write("train.i32", stepsOfRun());
const evaluated = {
  ...{ seqLen, documentMask, vocabSize: model.vocabSize },
  ...{ microBatch: 1, sequences: settings.evalSequences },
};
write("eval.i32", evaluationBatches(data.evaluation, evaluated));
const rates = Array.from({ length: steps }, (_, i) => learningRate(i + 1, settings));
Deno.writeTextFileSync(join(folder, "rates.json"), JSON.stringify(rates));
data.close();
