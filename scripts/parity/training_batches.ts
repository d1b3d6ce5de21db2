/**
 * Writes the batches of a run for another program: all steps' tokens and targets as int32, step after
 * step, `[steps][2][sequences * seqLen]`.
 *
 *     deno run -A scripts/parity/training_batches.ts RUN OUT.bin
 *
 * @module
 */

import { readRunConfig } from "../../lib/train/resume_config.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { openRunData } from "../../lib/train/setup.ts";

const [run, out] = Deno.args;
if (run === undefined || out === undefined) {
  console.error("Cannot write batches: a run and an output were wanted");
  Deno.exit(2);
}
const { settings, model } = readRunConfig(runPaths(run), { settings: {}, origin: () => "" });
const data = openRunData({ settings, model, preset: undefined, origins: new Map() });
const file = Deno.openSync(out, { write: true, create: true, truncate: true });
for (let step = 0; step < settings.steps; step++) {
  const batches = data.training.step(step, { microBatch: 1 << 20, skips: settings.skipBatches });
  for (const { tokens, targets } of batches) {
    for (const array of [tokens, targets]) {
      const bytes = new Uint8Array(array.buffer);
      for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    }
  }
}
file.close();
data.close();
