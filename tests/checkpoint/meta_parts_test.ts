import assert from "node:assert/strict";
import { join } from "node:path";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import type { TensorSource } from "../../lib/formats/tensor_file.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { golden } from "../fixtures.ts";
import { withFolder } from "../formats/folder.ts";
import { assertSameTensors } from "./made_model.ts";
import { refused } from "./refused.ts";
import { PARAMS, tensor, type Tensors, tensors, writeMeta, writeWeights } from "./small_model.ts";

/** The rules of transformers' converter: what is cut by rows and by columns; norms are repeated. */
const BY_ROWS = /attention\.w[qkv]|feed_forward\.w[13]|^output/;
const BY_COLUMNS = /attention\.wo|feed_forward\.w2|^tok_embeddings/;

/** Cuts float32 tensors of a Meta model into parts, number by number. */
function cut(whole: Tensors, count: number, options: { embeddingRows?: boolean } = {}): Tensors[] {
  return Array.from({ length: count }, (_, part) => {
    const pieces = [...whole.values()].map((source): TensorSource => {
      const { name, shape, data } = source;
      const rowsOfEmbedding = options.embeddingRows === true && name.startsWith("tok_embeddings");
      const byRows = BY_ROWS.test(name) || rowsOfEmbedding;
      if (!byRows && !BY_COLUMNS.test(name)) return source;
      const [rows, columns] = shape as [number, number];
      const values = new Float32Array((data as Uint8Array).slice().buffer);
      const [height, width] = byRows ? [rows / count, columns] : [rows, columns / count];
      const [top, left] = byRows ? [part * height, 0] : [0, part * width];
      const piece = Float32Array.from(
        { length: height * width },
        (_, i) => values[(top + Math.floor(i / width)) * columns + left + (i % width)]!,
      );
      const bytes = new Uint8Array(piece.buffer);
      return { name, dtype: "f32", shape: [height, width], data: bytes };
    });
    return new Map(pieces.map((piece) => [piece.name, piece]));
  });
}

/** Writes parts as files and opens the folder. */
async function writeParts(
  folder: string,
  parts: readonly Tensors[],
  options: { params?: unknown; ending?: string } = {},
): Promise<void> {
  const { params = { ...PARAMS, n_kv_heads: 2 }, ending = "pth" } = options;
  Deno.writeTextFileSync(join(folder, "params.json"), JSON.stringify(params));
  for (const [i, part] of parts.entries()) {
    await writeWeights(join(folder, `consolidated.0${i}.${ending}`), part);
  }
}

/** The tensors of an open checkpoint, in memory, under Meta's names. */
async function inMemory(checkpoint: Checkpoint): Promise<Tensors> {
  const all: Tensors = new Map();
  for (const { name, dtype, shape, ...record } of checkpoint.tensors.values()) {
    all.set(name, {
      name,
      dtype,
      shape,
      data: await readTensor({ name, dtype, shape, ...record }),
    });
  }
  return all;
}

for (const ending of ["pth", "safetensors"]) {
  Deno.test(`the golden model in 2 and 4 parts of ${ending} is the whole one bit by bit`, async () => {
    const whole = await openCheckpoint(golden("llama_mha/meta"));
    const all = await inMemory(whole);
    const params = JSON.parse(Deno.readTextFileSync(golden("llama_mha/meta/params.json")));
    for (const count of [2, 4]) {
      await withFolder(async (folder) => {
        await writeParts(folder, cut(all, count), { params, ending });
        const parts = await openCheckpoint(folder);
        assert.equal(parts.files.length, count);
        assert.deepEqual(parts.config, whole.config);
        await assertSameTensors(parts, whole);
        const byPart = await openCheckpoint(join(folder, `consolidated.01.${ending}`));
        await assertSameTensors(byPart, whole);
      });
    }
  });
}

/** The small model with as many key and value heads as it has heads. */
function small(): Tensors {
  const all = tensors("meta");
  for (const layer of [0, 1]) {
    for (const name of ["wk", "wv"].map((name) => `layers.${layer}.attention.${name}.weight`)) {
      all.set(name, tensor(name, [8, 8]));
    }
  }
  return all;
}

Deno.test("an embedding cut by rows, as Llama 3's, is told by its width", async () => {
  await withFolder(async (folder) => {
    await writeMeta(folder, { tensors: small(), params: { ...PARAMS, n_kv_heads: 2 } });
    const whole = await openCheckpoint(folder);
    await withFolder(async (folder) => {
      await writeParts(folder, cut(small(), 2, { embeddingRows: true }));
      await assertSameTensors(await openCheckpoint(folder), whole);
    });
  });
});

Deno.test("a head that is the embedding is one matrix, whole or in parts, and else it is two", async () => {
  const all = small();
  const embedding = all.get("tok_embeddings.weight")!;
  for (const isTied of [true, false]) {
    const head = isTied ? embedding : tensor("another", [16, 8]);
    all.set("output.weight", { ...head, name: "output.weight" });
    for (const parts of [[all], cut(all, 2), cut(all, 2, { embeddingRows: true })]) {
      await withFolder(async (folder) => {
        await writeParts(folder, parts);
        const { config, tensors } = await openCheckpoint(folder);
        assert.equal(config.tieWordEmbeddings, isTied);
        assert.equal(tensors.has("head"), !isTied);
      });
    }
  }
});

Deno.test("parts with a gap, of other models or of other types are refused by name", async () => {
  await withFolder(async (folder) => {
    await writeParts(folder, cut(small(), 2));
    const part = (name: string) => join(folder, name);
    Deno.renameSync(part("consolidated.01.pth"), part("consolidated.03.pth"));
    const message =
      /"consolidated\.03\.pth" is there and "consolidated\.01\.pth" before it is missing/;
    await refused(folder, { kind: "FormatError", message });
  });
  const spoilt = async (spoil: (second: Tensors) => void, kind: string, message: RegExp) => {
    await withFolder(async (folder) => {
      const parts = cut(small(), 2);
      spoil(parts[1]!);
      await writeParts(folder, parts);
      await refused(folder, { kind, message });
    });
  };
  const name = "layers.1.feed_forward.w2.weight";
  await spoilt(
    (second) => second.delete(name),
    "FormatError",
    /consolidated\.01\.pth": tensor "layers\.1\.feed_forward\.w2\.weight" is missing, and consolidated\.00\.pth beside it/,
  );
  await spoilt(
    (second) => second.set("more.weight", tensor("more.weight", [2, 2])),
    "FormatError",
    /consolidated\.00\.pth": tensor "more\.weight" is missing, and consolidated\.01\.pth beside it/,
  );
  await spoilt(
    (second) => second.set(name, tensor(name, [7, 6])),
    "ShapeError",
    /consolidated\.01\.pth": tensor ".*w2\.weight" has shape \[7, 6\], which does not fit its part \[8, 6\] in consolidated\.00\.pth/,
  );
  await spoilt(
    (second) => second.set(name, { ...tensor(name, [8, 3]), dtype: "f16", shape: [8, 6] }),
    "FormatError",
    /consolidated\.01\.pth": tensor ".*w2\.weight" is f16, and its part in consolidated\.00\.pth is f32/,
  );
});

Deno.test("a model whose last part is missing is refused for the shape that is left", async () => {
  await withFolder(async (folder) => {
    await writeParts(folder, cut(small(), 4).slice(0, 3));
    const message = /"tok_embeddings\.weight" has shape \[16, 6\], params\.json wants \[16, 8\]/;
    await refused(folder, { kind: "ShapeError", message, hint: /3 parts.* one .* missing/ });
  });
});
