import assert from "node:assert/strict";
import { heldElements } from "../../../lib/model/training/parts.ts";
import { layOutSlots, planArenas } from "../../../lib/model/training/slots.ts";
import { presetOf } from "../../../lib/model/presets.ts";

const DEBUG = presetOf("debug").config;

for (const [parallelBlock, tied] of [[false, false], [false, true], [true, true]] as const) {
  const config = { ...DEBUG, parallelBlock, tieWordEmbeddings: tied };
  const what = `${parallelBlock ? "parallel" : "serial"} blocks, ${tied ? "tied" : "untied"}`;
  Deno.test(`units take turns without overlap, and what is multiplied as one stays so: ${what}`, () => {
    const { whole, units } = planArenas(config, {});
    const { offsets, elements, slotOf } = layOutSlots(whole, { units, tied });
    const count = (index: number) => heldElements(whole.held[index]!);
    units.forEach((unit, at) => {
      const places = unit.map((index) => [offsets[index]!, offsets[index]! + count(index)] as const)
        .sort(([a], [b]) => a - b);
      places.forEach(([begin, end], i) => {
        assert.ok(end <= (places[i + 1]?.[0] ?? elements));
        assert.ok(begin >= 0);
      });
      for (const a of unit) {
        for (const b of unit) {
          const follows = whole.offsets[a]! + count(a) === whole.offsets[b]!;
          if (follows) assert.equal(offsets[a]! + count(a), offsets[b]!, `${at}: ${a}, ${b}`);
        }
      }
    });
    // Units that are there at the same time do not share a place.
    const spans = units.map((unit) => ({
      begin: Math.min(...unit.map((index) => offsets[index]!)),
      end: Math.max(...unit.map((index) => offsets[index]! + count(index))),
    }));
    spans.forEach((a, i) =>
      spans.forEach((b, j) => {
        if (slotOf[i] !== slotOf[j]) assert.ok(a.end <= b.begin || b.end <= a.begin, `${i}, ${j}`);
      })
    );
    assert.equal(slotOf[0] === slotOf.at(-1), !tied);
    assert.ok(slotOf.slice(1, -1).every((slot) => slot === slotOf[1]));
  });
}

Deno.test("nothing takes turns where nothing is streamed", () => {
  const { whole, layouts } = planArenas(DEBUG, {});
  assert.equal(layouts.weights, whole);
  const streamed = planArenas(DEBUG, { streamed: { weights: false, gradients: true } });
  assert.deepEqual(streamed.layouts.weights, whole);
  assert.ok(streamed.layouts.gradients.elements < whole.elements);
});
