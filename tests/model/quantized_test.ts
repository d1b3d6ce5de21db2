import { deepStrictEqual, ok } from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../../lib/backend/backend.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import type { TensorRecord } from "../../lib/formats/tensor_file.ts";
import { Decoder } from "../../lib/model/decoder.ts";
import type { DecoderSource } from "../../lib/model/load_weights.ts";
import type { Activations } from "../../lib/model/linear.ts";
import { onBackends } from "../on_backends.ts";
import { meanDivergence } from "./divergence.ts";
import { assertNear, goldenBatch, goldenSource, LOGIT_TOLERANCE } from "./golden_models.ts";
import { dequantizeQ8, quantizeQ8 } from "./q8_0.ts";

/** The golden Llama 3 with its matrices in q8_0, and the same numbers in f32. */
async function quantizedSources(folder: string): Promise<[DecoderSource, DecoderSource]> {
  const source = await goldenSource("llama3");
  const files = { q8_0: join(folder, "q8_0.bin"), f32: join(folder, "f32.bin") };
  const content = { q8_0: [] as Uint8Array[], f32: [] as Uint8Array[] };
  const tensors = { q8_0: new Map<string, TensorRecord>(), f32: new Map<string, TensorRecord>() };
  const offset = { q8_0: 0, f32: 0 };
  for (const [name, record] of source.tensors) {
    const values = new Float32Array((await readTensor(record)).slice().buffer);
    const isMatrix = record.shape.length === 2;
    const packed = isMatrix ? quantizeQ8(values) : new Uint8Array(values.buffer);
    const rounded = isMatrix ? dequantizeQ8(packed) : values;
    for (
      const [kind, bytes] of [["q8_0", packed], ["f32", new Uint8Array(rounded.buffer)]] as const
    ) {
      const dtype = kind === "q8_0" && isMatrix ? "q8_0" : "f32";
      const place = { file: files[kind], offset: offset[kind], bytes: bytes.length };
      tensors[kind].set(name, { name, dtype, shape: record.shape, ...place });
      content[kind].push(bytes);
      offset[kind] += bytes.length;
    }
  }
  for (const kind of ["q8_0", "f32"] as const) {
    await writeFile(files[kind], await new Blob(content[kind] as BlobPart[]).bytes());
  }
  return [{ ...source, tensors: tensors.q8_0 }, { ...source, tensors: tensors.f32 }];
}

async function withSources(
  body: (quantized: DecoderSource, exact: DecoderSource) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "quantized-"));
  try {
    await body(...await quantizedSources(folder));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Logits of a batch's rows, each cut into pieces of `size` tokens. */
async function logitsOf(
  backend: Backend,
  source: DecoderSource,
  options: { readonly activations: Activations; readonly size: number },
): Promise<Float32Array> {
  const decoder = await Decoder.load(backend, source, options);
  const session = decoder.session({ rows: 64, positions: 256 });
  const { vocabSize } = source.config;
  const parts: number[] = [];
  for (const tokens of goldenBatch("llama3").input_ids) {
    const sequence = session.cache.pages.open();
    for (let at = 0; at < tokens.length; at += options.size) {
      const span = { sequence, tokens: tokens.slice(at, at + options.size) };
      session.forward([span]);
      const rows = Array.from(span.tokens, (_, row) => row);
      for (const chunk of session.head.chunks(rows)) parts.push(...chunk.logits());
    }
  }
  ok(parts.length % vocabSize === 0);
  session.close();
  decoder.close();
  return Float32Array.from(parts);
}

onBackends("q8_0 weights with exact activations are the dequantized model", async (on) => {
  using opened = await on.open(2);
  await withSources(async (quantized, exact) => {
    const options = { activations: "f32", size: 48 } as const;
    assertNear(
      await logitsOf(opened.backend, quantized, options),
      await logitsOf(opened.backend, exact, options),
      LOGIT_TOLERANCE,
    );
  });
});

onBackends(
  "q8_0 weights with q8_0 activations give the same bits, however they are cut",
  async (on) => {
    await withSources(async (quantized) => {
      const results: Float32Array[] = [];
      for (const [threads, size] of [[1, 48], [1, 1], [2, 5], [3, 48]] as const) {
        using opened = await on.open(threads);
        results.push(await logitsOf(opened.backend, quantized, { activations: "auto", size }));
      }
      for (const result of results) deepStrictEqual(result, results[0]);
    });
  },
);

onBackends("q8_0 activations stay close to exact ones", async (on) => {
  using opened = await on.open(2);
  await withSources(async (quantized) => {
    const size = 48;
    const exact = await logitsOf(opened.backend, quantized, { activations: "f32", size });
    const rounded = await logitsOf(opened.backend, quantized, { activations: "auto", size });
    const divergence = meanDivergence(exact, rounded, quantized.config.vocabSize);
    // Rounding to 127 steps is 0.4% of the largest of 32; this loud random model amplifies it.
    ok(divergence > 0 && divergence < 2e-3, `divergence ${divergence}`);
  });
});
