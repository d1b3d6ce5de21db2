import assert from "node:assert/strict";
import type { Skip } from "../../lib/data/order.ts";
import { obsoleteCheckpoints } from "../../lib/train/retention.ts";
import { planRecovery } from "../../lib/train/spikes.ts";

const settings = { keep: 2, saveEvery: 10, skipSpikes: false };

Deno.test("the newest checkpoints stay, as many as asked, the new one counted", () => {
  assert.deepEqual(obsoleteCheckpoints([10, 20, 30], { step: 40, settings }), [10, 20]);
  assert.deepEqual(obsoleteCheckpoints([10], { step: 20, settings }), []);
});

Deno.test("those of interruptions go with the next one, and cost none of the others", () => {
  assert.deepEqual(obsoleteCheckpoints([20, 30, 37], { step: 40, settings }), [20, 37]);
  assert.deepEqual(obsoleteCheckpoints([20, 30], { step: 37, settings }), []);
});

const skipping = { ...settings, skipSpikes: true };

Deno.test("where spikes are skipped, the one that a spike would go back to stays", () => {
  const steps = Array.from({ length: 29 }, (_, i) => 10 * (i + 1));
  const gone = obsoleteCheckpoints(steps, { step: 300, settings: skipping });
  assert.equal(gone.at(-1), 190);
  assert.ok(!gone.includes(200));
});

Deno.test("four spikes, each as early as it can be after the one before, find their checkpoints", () => {
  for (const saveEvery of [7, 10, 60, 100, 250]) {
    const own = { keep: 1, saveEvery, skipSpikes: true };
    let there: number[] = [];
    for (let step = saveEvery; step <= 3000; step += saveEvery) {
      const gone = obsoleteCheckpoints(there, { step, settings: own });
      there = [...there.filter((at) => !gone.includes(at)), step];
      const left = [...there];
      const earlier: Skip[] = [];
      let spike = step + saveEvery - 1;
      for (let attempt = 1; attempt <= 4; attempt++) {
        const { rewindTo, skip } = planRecovery(spike, { saveEvery, earlier })!;
        assert.ok(
          rewindTo === 0 || left.includes(rewindTo),
          `${saveEvery}: ${rewindTo} of ${left}`,
        );
        assert.ok(rewindTo <= Math.max(0, spike - 100));
        earlier.push(skip);
        spike = skip.step;
      }
      assert.equal(planRecovery(spike, { saveEvery, earlier }), undefined);
    }
    assert.ok(there.length <= 6 + 100 / saveEvery, `${there}`);
  }
});

Deno.test("where another number of steps was saved by before, the newest before stays", () => {
  const gone = obsoleteCheckpoints([50, 100, 150, 200, 250], {
    step: 280,
    settings: {
      ...skipping,
      saveEvery: 40,
    },
  });
  assert.ok(!gone.includes(150), `${gone}`);
});

Deno.test("checkpoints of later steps are not this run's to remove", () => {
  assert.deepEqual(obsoleteCheckpoints([10, 20, 90], { step: 30, settings }), [10]);
});
