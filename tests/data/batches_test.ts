import assert from "node:assert/strict";
import { join } from "node:path";
import {
  assembleBatch,
  countTargets,
  evaluationBatches,
  NO_TARGET,
  TrainingData,
} from "../../lib/data/batches.ts";
import type { Skip } from "../../lib/data/order.ts";
import { BatchRamp } from "../../lib/data/ramp.ts";
import { TokenSource } from "../../lib/data/token_source.ts";
import { counting, writeDataset } from "./dataset_fixture.ts";

function inFolder(body: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const masked = { documentMask: true };
const open = { documentMask: false };

Deno.test("windows cover a source's tokens in order, each beginning with the last target", () => {
  inFolder((folder) => {
    const prefix = writeDataset(join(folder, "d"), [
      counting(7),
      [],
      counting(5, 7),
      counting(2, 12),
    ]);
    using source = TokenSource.open(prefix);
    assert.equal(source.windows(4), 3);
    const read = [0, 1, 2].map((w) => source.read(w, { length: 4, vocabSize: 100 }));
    assert.deepEqual(read.map(({ tokens }) => [...tokens]), [
      [0, 1, 2, 3, 4],
      [4, 5, 6, 7, 8],
      [8, 9, 10, 11, 12],
    ]);
    assert.deepEqual(read.map(({ documents }) => documents), [[0], [3], [4]]);
  });
});

Deno.test("data smaller than a sequence are refused with both lengths", () => {
  inFolder((folder) => {
    using source = TokenSource.open(writeDataset(join(folder, "d"), [counting(64)]));
    assert.throws(() => source.windows(64), /it has 64 tokens, at least 65 were wanted/);
  });
});

Deno.test("a token beyond the vocabulary is refused with its place and id", () => {
  inFolder((folder) => {
    using source = TokenSource.open(writeDataset(join(folder, "d"), [[1, 2, 500, 3, 4]]));
    assert.throws(
      () => source.read(0, { length: 4, vocabSize: 500 }),
      /token 2 is 500, and the model's vocabulary ends at 499/,
    );
  });
});

Deno.test("without a document mask every row sees its sequence from the first", () => {
  const window = { tokens: Int32Array.of(5, 6, 7, 8, 9), documents: [2] };
  const batch = assembleBatch([window, window], open);
  assert.deepEqual([...batch.tokens], [5, 6, 7, 8, 5, 6, 7, 8]);
  assert.deepEqual([...batch.targets], [6, 7, 8, 9, 6, 7, 8, 9]);
  assert.deepEqual([...batch.starts], [0, 0, 0, 0, 4, 4, 4, 4]);
  assert.deepEqual([...batch.positions], [0, 1, 2, 3, 0, 1, 2, 3]);
});

Deno.test("with one a document sees itself, counts from 0, and predicts nothing of the next", () => {
  const batch = assembleBatch([
    { tokens: Int32Array.of(5, 6, 7, 8, 9), documents: [0, 1, 3] },
    { tokens: Int32Array.of(5, 6, 7, 8, 9), documents: [4] },
  ], masked);
  assert.deepEqual([...batch.starts], [0, 1, 1, 3, 4, 4, 4, 4]);
  assert.deepEqual([...batch.positions], [0, 0, 1, 0, 0, 1, 2, 3]);
  assert.deepEqual([...batch.targets], [NO_TARGET, 7, NO_TARGET, 9, 6, 7, 8, NO_TARGET]);
  assert.equal(countTargets(batch), 5);
});

const ramp = new BatchRamp({
  seqLen: 4,
  batchTokens: 16,
  batchRamp: [{ fromStep: 6, batchTokens: 32 }],
});

function trainingData(folder: string, seed = 1): TrainingData {
  const sources = [[0.75, 0], [0.25, 1000]] as const;
  return new TrainingData({
    seed,
    ramp,
    vocabSize: 2000,
    documentMask: false,
    sources: sources.map(([weight, from], i) => ({
      weight,
      source: TokenSource.open(writeDataset(join(folder, `s${i}`), [counting(81, from)])),
    })),
  });
}

/** First tokens of the sequences of a step, which name the windows. */
function windowsOf(data: TrainingData, step: number, skips: readonly Skip[] = [], microBatch = 3) {
  return data.step(step, { microBatch, skips })
    .flatMap(({ tokens, length }) => [...tokens].filter((_, i) => i % length === 0));
}

Deno.test("the parts of a step's batch are the batch", () => {
  inFolder((folder) => {
    const data = trainingData(folder);
    for (const step of [0, 9]) {
      const told: number[] = [];
      const parts = [0, 1].flatMap((replica) => {
        const part = (sequences: number) => {
          told.push(sequences);
          return { first: replica * sequences / 2, count: sequences / 2 };
        };
        return data.step(step, { microBatch: 3, skips: [], part }).flatMap(({ tokens, length }) =>
          [...tokens].filter((_, i) => i % length === 0)
        );
      });
      assert.deepEqual(parts, windowsOf(data, step));
      assert.deepEqual(told, [parts.length, parts.length]);
    }
    data.close();
  });
});

Deno.test("each window of a source comes once before any comes again", () => {
  inFolder((folder) => {
    const data = trainingData(folder);
    const all = Array.from({ length: 40 }, (_, step) => windowsOf(data, step)).flat();
    for (const source of [0, 1]) {
      const drawn = all.filter((token) => Math.floor(token / 1000) === source);
      for (let epoch = 0; (epoch + 1) * 20 <= drawn.length; epoch++) {
        assert.equal(new Set(drawn.slice(epoch * 20, epoch * 20 + 20)).size, 20);
      }
      const orders = [0, 1].map((epoch) => drawn.slice(epoch * 20, epoch * 20 + 20).join());
      assert.notEqual(orders[0], orders[1]);
    }
    data.close();
  });
});

Deno.test("the batch of a step depends on seed, step and skip list alone", () => {
  inFolder((folder) => {
    const data = trainingData(folder);
    const walked = Array.from({ length: 12 }, (_, step) => windowsOf(data, step));
    const again = trainingData(folder);
    for (const step of [11, 3, 7, 0]) {
      assert.deepEqual(windowsOf(again, step, [], 1), walked[step]);
      assert.deepEqual(windowsOf(again, step, [], 64), walked[step]);
    }
    const other = trainingData(folder, 2);
    assert.notDeepEqual(walked, Array.from({ length: 12 }, (_, step) => windowsOf(other, step)));
    for (const one of [data, again, other]) one.close();
  });
});

Deno.test("skipped batches are left out from their step on, and only they", () => {
  inFolder((folder) => {
    const data = trainingData(folder);
    const skips = [{ step: 2, batches: 3 }];
    const whole = Array.from({ length: 6 }, (_, step) => windowsOf(data, step));
    const kept = Array.from({ length: 3 }, (_, step) => windowsOf(data, step, skips));
    assert.deepEqual(kept, [whole[0], whole[1], whole[5]]);
    data.close();
  });
});

Deno.test("evaluation takes all windows in order, or as many as asked at even distances", () => {
  inFolder((folder) => {
    using source = TokenSource.open(writeDataset(join(folder, "d"), [counting(41)]));
    const first = (sequences?: number) =>
      [...evaluationBatches([source], {
        seqLen: 4,
        microBatch: 4,
        vocabSize: 100,
        documentMask: false,
        sequences,
      })].flatMap(({ tokens }) => [...tokens].filter((_, i) => i % 4 === 0));
    assert.deepEqual(first(), [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]);
    assert.deepEqual(first(5), [0, 8, 16, 24, 32]);
  });
});
