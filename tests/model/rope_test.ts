import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { fillRopeTable, type RopeConfig, ropeFrequencies } from "../../lib/model/rope.ts";
import { ROPE_CASES as cases, type RopeCase } from "../golden_tables.ts";

function configOf(sample: RopeCase): RopeConfig {
  const { scaling } = sample;
  if (scaling === undefined || scaling === null) {
    return { headDim: sample.head_dim, ropeTheta: sample.theta };
  }
  return {
    headDim: sample.head_dim,
    ropeTheta: sample.theta,
    ropeScaling: {
      type: "llama3",
      factor: scaling.factor!,
      lowFreqFactor: scaling.low_freq_factor!,
      highFreqFactor: scaling.high_freq_factor!,
      originalMaxPositionEmbeddings: scaling.original_max_position_embeddings!,
    },
  };
}

function near(got: number, wanted: number, tolerance: number, what: string): void {
  ok(Math.abs(got - wanted) <= tolerance, `${what}: ${got} instead of ${wanted}`);
}

Deno.test("positions stretched by a factor have the angles of earlier positions", () => {
  const rope = { headDim: 8, ropeTheta: 10_000 };
  const rows = (positions: number[], config: RopeConfig) => {
    const table = new Float32Array(positions.length * config.headDim);
    fillRopeTable(table, positions, { frequencies: ropeFrequencies(config) });
    return table;
  };
  const stretched = rows([0, 4, 12, 4000], { ...rope, ropeScaling: { type: "linear", factor: 4 } });
  deepStrictEqual(stretched, rows([0, 1, 3, 1000], rope));
});

for (const sample of cases) {
  const name = `head_dim ${sample.head_dim}, theta ${sample.theta}${
    sample.scaling ? ", scaled as in Llama 3.1" : ""
  }`;

  Deno.test(`rotary frequencies match the reference: ${name}`, () => {
    const frequencies = ropeFrequencies(configOf(sample));
    strictEqual(frequencies.length, sample.inv_freq.length);
    sample.inv_freq.forEach((wanted, i) => {
      near(frequencies[i]!, wanted, 1e-15 + 1e-14 * wanted, `frequency ${i}`);
    });
  });

  Deno.test(`rotating by the table gives the reference's vectors in both layouts: ${name}`, () => {
    const frequencies = ropeFrequencies(configOf(sample));
    const half = frequencies.length;
    const table = new Float32Array(sample.rotated.length * half * 2);
    fillRopeTable(table, sample.rotated.map((one) => one.position), { frequencies });
    sample.rotated.forEach((wanted, row) => {
      for (let i = 0; i < half; i++) {
        const cos = table[(row * half + i) * 2]!;
        const sin = table[(row * half + i) * 2 + 1]!;
        for (
          const [a, b, rotated] of [
            [i, i + half, wanted.rotate_half],
            [2 * i, 2 * i + 1, wanted.interleaved],
          ] as const
        ) {
          const [x, y] = [sample.vector[a]!, sample.vector[b]!];
          // cos and sin are rounded to single precision: 6e-8 each.
          const tolerance = 1.3e-7 * (Math.abs(x) + Math.abs(y));
          near(x * cos - y * sin, rotated[a]!, tolerance, `position ${wanted.position}, ${a}`);
          near(x * sin + y * cos, rotated[b]!, tolerance, `position ${wanted.position}, ${b}`);
        }
      }
    });
  });
}
