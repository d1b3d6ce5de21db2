/**
 * Which checkpoints stay.
 *
 * @module
 */

import type { TrainSettings } from "./settings.ts";
import { rewindTargets } from "./spikes.ts";

/**
 * Steps whose checkpoints go once that of `step` is there: all but the newest `keep` of every
 * `saveEvery` steps. Those between, which interrupted sessions have left, go at once, so that a run
 * that was stopped ends with the checkpoints of one that was not. Where spikes are skipped, those that
 * recoveries may go back to stay too.
 *
 * @param steps Steps of all checkpoints that there are.
 */
export function obsoleteCheckpoints(
  steps: readonly number[],
  { step, settings }: {
    readonly step: number;
    readonly settings: Pick<TrainSettings, "keep" | "saveEvery" | "skipSpikes">;
  },
): number[] {
  const { keep, saveEvery, skipSpikes } = settings;
  const isRegular = (at: number) => at % saveEvery === 0;
  const earlier = steps.filter((at) => at < step);
  const regular = [...earlier.filter(isRegular), ...(isRegular(step) ? [step] : [])];
  const kept = new Set(regular.sort((a, b) => a - b).slice(-keep));
  if (skipSpikes) {
    for (const at of rewindTargets(earlier, { step, saveEvery })) kept.add(at);
  }
  return earlier.filter((at) => !kept.has(at));
}
