import assert from "node:assert/strict";
import { presetOf } from "../../lib/model/presets.ts";
import { heldElements } from "../../lib/model/training/parts.ts";
import { planArenas } from "../../lib/model/training/slots.ts";
import { PART_ELEMENTS, partitionOf, piecesOf } from "../../lib/parallel/partition.ts";

/** The parameters of a preset, by units. */
function modelOf(name: string) {
  const { whole, units } = planArenas(presetOf(name).config, {});
  return { parameters: whole.held.map((held) => ({ count: heldElements(held) })), units };
}

Deno.test("ranks own every element once, in runs that begin with parts", () => {
  const { parameters, units } = modelOf("llama-15m");
  for (const ranks of [1, 2, 3, 8]) {
    const partition = partitionOf(parameters, { units, ranks });
    const owners = parameters.map(({ count }) => new Uint8Array(count));
    for (let rank = 0; rank < ranks; rank++) {
      for (const { parameter, first, count } of piecesOf(partition, rank)) {
        assert.equal(first % PART_ELEMENTS, 0);
        for (let i = first; i < first + count; i++) owners[parameter]![i]!++;
      }
    }
    for (const owned of owners) assert.ok(owned.every((times) => times === 1));
  }
});

Deno.test("a unit's pieces lie in the order of its elements, rank after rank", () => {
  const { parameters, units } = modelOf("llama-15m");
  const { pieces, lengths } = partitionOf(parameters, { units, ranks: 4 });
  pieces.forEach((ranks, unit) => {
    let [place, next] = [0, 0];
    for (const { parameter, first, count } of ranks.flat()) {
      while (units[unit]![place] !== parameter) [place, next] = [place + 1, 0];
      assert.equal(first, next);
      next += count;
    }
    const elements = units[unit]!.reduce((sum, index) => sum + parameters[index]!.count, 0);
    assert.equal(lengths[unit]!.reduce((sum, length) => sum + length, 0), elements);
  });
});

Deno.test("no rank owns more than a part beyond its due, over any units so far", () => {
  for (const [name, ranks] of [["llama-15m", 3], ["llama-15m", 8], ["llama1-7b", 64]] as const) {
    const { parameters, units } = modelOf(name);
    const { lengths } = partitionOf(parameters, { units, ranks });
    const owned = new Array<number>(ranks).fill(0);
    let all = 0;
    for (const unit of lengths) {
      unit.forEach((length, rank) => {
        owned[rank]! += length;
        all += length;
      });
      for (const own of owned) {
        assert.ok(
          Math.abs(own - all / ranks) <= PART_ELEMENTS,
          `${name}: ${own} of ${all / ranks}`,
        );
      }
    }
  }
});

Deno.test("a unit smaller than its ranks leaves some without, and the next unit makes up for it", () => {
  const parameters = [{ count: 100 }, { count: 5 * PART_ELEMENTS }, { count: 7 }];
  const { lengths } = partitionOf(parameters, { units: [[0], [1], [2]], ranks: 2 });
  assert.deepEqual(lengths[0], [100, 0]);
  assert.deepEqual(lengths[1], [2 * PART_ELEMENTS, 3 * PART_ELEMENTS]);
  assert.deepEqual(lengths[2], [7, 0]);
});
