import assert from "node:assert/strict";
import { obsoleteCheckpoints } from "../../lib/train/retention.ts";

const settings = { keep: 2, saveEvery: 10, skipSpikes: false };

Deno.test("the newest checkpoints stay, as many as asked, the new one counted", () => {
  assert.deepEqual(obsoleteCheckpoints([10, 20, 30], { step: 40, settings }), [10, 20]);
  assert.deepEqual(obsoleteCheckpoints([10], { step: 20, settings }), []);
});

Deno.test("those of interruptions go with the next one, and cost none of the others", () => {
  assert.deepEqual(obsoleteCheckpoints([20, 30, 37], { step: 40, settings }), [20, 37]);
  assert.deepEqual(obsoleteCheckpoints([20, 30], { step: 37, settings }), []);
});

Deno.test("where spikes are skipped, the one that a spike would go back to stays", () => {
  const steps = Array.from({ length: 29 }, (_, i) => 10 * (i + 1));
  const skipping = { ...settings, skipSpikes: true };
  const gone = obsoleteCheckpoints(steps, { step: 300, settings: skipping });
  assert.equal(gone.at(-1), 190);
  assert.ok(!gone.includes(200));
});

Deno.test("checkpoints of later steps are not this run's to remove", () => {
  assert.deepEqual(obsoleteCheckpoints([10, 20, 90], { step: 30, settings }), [10]);
});
