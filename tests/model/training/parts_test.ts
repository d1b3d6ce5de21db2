import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import type { Backend } from "../../../lib/backend/backend.ts";
import { ConfigError } from "../../../lib/base/errors.ts";
import type { ModelConfig } from "../../../lib/model/config.ts";
import { initialWeights } from "../../../lib/model/init.ts";
import { readAsF32 } from "../../../lib/model/load_weights.ts";
import { presetOf } from "../../../lib/model/presets.ts";
import { weightSpecs } from "../../../lib/model/weights.ts";
import { readSliceAsF32 } from "../../../lib/model/training/load_slice.ts";
import {
  heldElements,
  heldShape,
  type HeldWeight,
  heldWeights,
  partConfig,
  type PlannedParts,
  sliceRuns,
} from "../../../lib/model/training/parts.ts";
import { onBackends } from "../../on_backends.ts";
import { GOLDEN_MODELS, goldenSource } from "../golden_models.ts";

const DEBUG: ModelConfig = {
  ...presetOf("debug").config,
  numAttentionHeads: 8,
  numKeyValueHeads: 2,
  vocabSize: 511,
};
const PALM: ModelConfig = {
  ...DEBUG,
  numKeyValueHeads: 1,
  parallelBlock: true,
  tieWordEmbeddings: true,
};

function stages(config: ModelConfig, layers: readonly number[]): PlannedParts[] {
  let firstLayer = 0;
  return layers.map((count, index) => {
    const stage = {
      firstLayer,
      layers: count,
      embedding: index === 0,
      head: index === layers.length - 1,
    };
    firstLayer += count;
    strictEqual(firstLayer <= config.numHiddenLayers, true);
    return { stages: [stage] };
  });
}

/** How often every element of every weight is held, counting copy 0 alone. */
function timesHeld(config: ModelConfig, ranks: readonly PlannedParts[]): Map<string, Uint8Array> {
  const times = new Map(
    weightSpecs(config).map(({ name, shape }) =>
      [name, new Uint8Array(shape.reduce((a, b) => a * b, 1))] as const
    ),
  );
  for (const parts of ranks) {
    for (const held of heldWeights(config, parts)) {
      if (held.copy > 0) continue;
      const counts = times.get(held.spec.name)!;
      for (const { whole, count } of sliceRuns(held)) {
        for (let i = 0; i < count; i++) counts[whole + i]!++;
      }
    }
  }
  return times;
}

for (const [name, config] of [["grouped heads", DEBUG], ["one kv head, tied", PALM]] as const) {
  Deno.test(`copies 0 of all tensor ranks and stages are every weight once: ${name}`, () => {
    for (const size of [1, 2, 4, 8]) {
      for (const layers of [[config.numHiddenLayers], [1, config.numHiddenLayers - 1]]) {
        const ranks = stages(config, layers).flatMap((stage) =>
          Array.from({ length: size }, (_, rank) => ({ ...stage, tensor: { rank, size } }))
        );
        for (const [weight, counts] of timesHeld(config, ranks)) {
          ok(counts.every((count) => count === 1), `${weight} on ${size} ranks`);
        }
      }
    }
  });
}

Deno.test("ranks beyond the key and value heads have copies of them, with their own query heads", () => {
  const of = (rank: number, role: string) =>
    heldWeights(DEBUG, { tensor: { rank, size: 8 } }).find(({ spec }) => spec.role === role)!;
  const { headDim: E } = DEBUG;
  strictEqual(partConfig(DEBUG, { tensor: { rank: 0, size: 8 } }).numKeyValueHeads, 1);
  for (let rank = 0; rank < 8; rank++) {
    deepStrictEqual(of(rank, "attention.q").slice, { axis: 0, first: rank * E, extent: E });
    // Query heads 0 to 3 look at kv head 0, as without a cut.
    const first = Math.floor(rank / 4) * E;
    deepStrictEqual(of(rank, "attention.k").slice, { axis: 0, first, extent: E });
    strictEqual(of(rank, "attention.v").copy, rank % 4);
    strictEqual(of(rank, "attention_norm").copy, rank);
    strictEqual(of(rank, "attention.output").slice!.axis, 1);
  }
});

Deno.test("a tied head on a last stage is a copy of the embedding, cut as that is", () => {
  const [first, last] = stages(PALM, [1, PALM.numHiddenLayers - 1]).map((stage) =>
    heldWeights(PALM, { ...stage, tensor: { rank: 1, size: 2 } }).find(({ spec }) =>
      spec.role === "embedding"
    )!
  );
  deepStrictEqual([first!.copy, last!.copy], [0, 1]);
  deepStrictEqual(last!.slice, first!.slice);
  deepStrictEqual(last!.slice, { axis: 0, first: 255, extent: 256 });
});

Deno.test("what tensor ranks cannot cut is refused with the number", () => {
  const refused = (size: number, change: Partial<ModelConfig>, message: RegExp) =>
    throws(() => partConfig({ ...DEBUG, ...change }, { tensor: { rank: 0, size } }), (error) => {
      ok(error instanceof ConfigError);
      return message.test(error.message);
    });
  refused(3, {}, /over 3 tensor ranks: it has 8 heads/);
  refused(8, { numKeyValueHeads: 3, numAttentionHeads: 24 }, /3 key and value heads/);
  refused(2, { intermediateSize: 7 }, /7 columns in the feed-forward layer/);
  refused(2, { vocabSize: 1 }, /1 tokens/);
});

Deno.test("slices start with the numbers that whole weights have there", () => {
  // An odd width: runs of columns begin at odd places.
  const config = { ...DEBUG, hiddenSize: 15, intermediateSize: 6, headDim: 2 };
  const whole = new Map<string, Float32Array>();
  const take = (into: Map<string, Float32Array>, held?: readonly HeldWeight[]) => {
    const elements = new Map((held ?? heldWeights(config)).map((one) => [one.spec.name, one]));
    for (const { spec, first, values } of initialWeights(config, 5, { held })) {
      const all = into.get(spec.name) ?? new Float32Array(heldElements(elements.get(spec.name)!));
      all.set(values, first);
      into.set(spec.name, all);
    }
  };
  take(whole);
  for (const rank of [0, 1]) {
    const held = heldWeights(config, { tensor: { rank, size: 2 } });
    const got = new Map<string, Float32Array>();
    take(got, held);
    for (const one of held) {
      const name = one.spec.name;
      for (const { whole: from, held: at, count } of sliceRuns(one)) {
        const wanted = whole.get(name)!.subarray(from, from + count);
        deepStrictEqual(got.get(name)!.subarray(at, at + count), wanted, name);
      }
    }
  }
});

async function read(
  backend: Backend,
  count: number,
  body: (target: number) => Promise<void>,
): Promise<Float32Array> {
  const target = backend.alloc(4 * count);
  await body(target);
  const values = new Float32Array(count);
  backend.download(values, target);
  backend.free(target);
  return values;
}

onBackends("slices of a checkpoint's tensors are read as they stand in the whole", async (on) => {
  using opened = await on.open(1);
  const { backend } = opened;
  for (const model of GOLDEN_MODELS) {
    const { tensors, config } = await goldenSource(model);
    for (const held of heldWeights(config, { tensor: { rank: 1, size: 2 } })) {
      if (held.spec.layer === 1) continue;
      const record = tensors.get(held.spec.name)!;
      const [rows, columns = 1] = held.spec.shape;
      const whole = await read(
        backend,
        rows! * columns,
        (target) => readAsF32(backend, { record, target }),
      );
      // Records that are views already go another way.
      const view = { kind: "strided", strides: held.spec.shape.length === 2 ? [columns, 1] : [1] };
      for (const one of [record, { ...record, stored: view } as typeof record]) {
        const got = await read(
          backend,
          heldElements(held),
          (target) => readSliceAsF32(backend, { record: one, held, target }),
        );
        strictEqual(got.length, heldShape(held).reduce((a, b) => a * b, 1));
        for (const { whole: from, held: at, count } of sliceRuns(held)) {
          deepStrictEqual(got.subarray(at, at + count), whole.subarray(from, from + count));
        }
      }
    }
  }
});
