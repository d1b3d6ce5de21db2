import { deepStrictEqual, ok } from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import { multipliesBf16 } from "../../lib/backend/features.ts";
import { RandomStream } from "../../lib/base/random.ts";
import type { TensorRecord } from "../../lib/formats/tensor_file.ts";
import { parseHuggingFaceConfig } from "../../lib/model/config_huggingface.ts";
import { Decoder } from "../../lib/model/decoder.ts";
import type { KvType } from "../../lib/model/kv_cache.ts";
import type { Activations } from "../../lib/model/linear.ts";
import type { DecoderSource } from "../../lib/model/load_weights.ts";
import { weightSpecs } from "../../lib/model/weights.ts";
import { bytesOf, type DType } from "../../lib/tensor/dtype.ts";
import { CONFIG } from "../checkpoint/small_model.ts";
import { onBackends } from "../on_backends.ts";
import { meanDivergence } from "./divergence.ts";

/** What rounding activations, to blocks of eight bits or to bf16, may cost in nats per token. */
const LARGEST_DIVERGENCE = 1e-3;

const TYPES = [
  "bf16" as const,
  ...["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"] as const,
  ...["q2_k", "q3_k", "q4_k", "q5_k", "q6_k"] as const,
];

const config = parseHuggingFaceConfig(
  {
    ...CONFIG,
    hidden_size: 256,
    intermediate_size: 768,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    vocab_size: 301,
    max_position_embeddings: 128,
  },
  "config.json",
);

/** Random weights: matrices in blocks of a type, and the floats that these stand for. */
interface Twins {
  readonly blocks: DecoderSource;
  readonly floats: DecoderSource;
}

/** Converts on the backend. */
function convert(backend: Backend, from: DType, to: DType, bytes: Uint8Array, dim: number) {
  const count = bytes.length / bytesOf(from, dim) * dim;
  const x = backend.alloc(bytes.length);
  const out = backend.alloc(bytesOf(to, count));
  backend.upload(x, bytes);
  backend.kernels.convert({
    ...{ out, x, out_dtype: DTYPE_CODES[to], x_dtype: DTYPE_CODES[from] },
    ...{ rows: count / dim, dim },
  });
  const result = new Uint8Array(bytesOf(to, count));
  backend.download(result, out);
  backend.free(x);
  backend.free(out);
  return result;
}

async function makeTwins(backend: Backend, type: DType, folder: string): Promise<Twins> {
  const kinds = ["blocks", "floats"] as const;
  const content: Record<string, Uint8Array[]> = { blocks: [], floats: [] };
  const tensors = { blocks: new Map<string, TensorRecord>(), floats: new Map() };
  const offsets = { blocks: 0, floats: 0 };
  weightSpecs(config).forEach((spec, stream) => {
    const random = new RandomStream(5, stream);
    const count = spec.shape.reduce((product, extent) => product * extent, 1);
    const isMatrix = spec.shape.length === 2;
    const size = isMatrix && spec.name !== "embedding" ? spec.shape[1]! ** -0.5 : 1;
    const values = Float32Array.from({ length: count }, (_, i) => size * random.normal(i));
    if (!isMatrix) values.fill(1);
    const raw = new Uint8Array(values.buffer);
    const packed = isMatrix ? convert(backend, "f32", type, raw, spec.shape[1]!) : raw;
    const wide = isMatrix ? convert(backend, type, "f32", packed, spec.shape[1]!) : raw;
    for (const kind of kinds) {
      const bytes = kind === "blocks" ? packed : wide;
      const dtype = kind === "blocks" && isMatrix ? type : "f32";
      const place = { file: join(folder, kind), offset: offsets[kind], bytes: bytes.length };
      tensors[kind].set(spec.name, { name: spec.name, dtype, shape: spec.shape, ...place });
      content[kind]!.push(bytes);
      offsets[kind] += bytes.length;
    }
  });
  for (const kind of kinds) {
    await writeFile(join(folder, kind), await new Blob(content[kind] as BlobPart[]).bytes());
  }
  const source = { path: folder, config, ropeLayout: "interleaved" } as const;
  return {
    blocks: { ...source, tensors: tensors.blocks },
    floats: { ...source, tensors: tensors.floats },
  };
}

const TOKENS = Array.from({ length: 40 }, (_, i) => (i * 97 + 13) % config.vocabSize);

/** Logits of every token, fed `size` at a time. */
async function logitsOf(
  backend: Backend,
  source: DecoderSource,
  activations: Activations,
  size = TOKENS.length,
  kvType: KvType = "f32",
): Promise<Float32Array> {
  const decoder = await Decoder.load(backend, source, { activations });
  const session = decoder.session({ rows: size, positions: 64, kvType });
  const sequence = session.cache.pages.open();
  const logits: number[] = [];
  for (let at = 0; at < TOKENS.length; at += size) {
    const tokens = TOKENS.slice(at, at + size);
    session.forward([{ sequence, tokens }]);
    for (const chunk of session.head.chunks(tokens.map((_, row) => row))) {
      logits.push(...chunk.logits());
    }
  }
  session.close();
  decoder.close();
  return Float32Array.from(logits);
}

for (const type of TYPES) {
  onBackends(
    `a model in ${type} is exact over floats, and close and the same in pieces over rounded activations`,
    async (on) => {
      using opened = await on.open(2);
      const { backend } = opened;
      const folder = await mkdtemp(join(tmpdir(), "block-types-"));
      try {
        const { blocks, floats } = await makeTwins(backend, type, folder);
        const exact = await logitsOf(backend, floats, "f32");
        deepStrictEqual(await logitsOf(backend, blocks, "f32"), exact);
        const rounded = await logitsOf(backend, blocks, "auto");
        const divergence = meanDivergence(exact, rounded, config.vocabSize);
        const rounds = type !== "bf16" || multipliesBf16(backend.info);
        ok(divergence > 0 === rounds, `divergence ${divergence}`);
        ok(divergence < LARGEST_DIVERGENCE, `divergence ${divergence}`);
        deepStrictEqual(await logitsOf(backend, blocks, "auto", 1), rounded, "one by one");
        deepStrictEqual(await logitsOf(backend, blocks, "auto", 7), rounded, "seven at a time");
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );
}

onBackends(
  "a cache in q8_0 stays close to one in f32, and gives the same bits in pieces",
  async (on) => {
    using opened = await on.open(2);
    const { backend } = opened;
    const folder = await mkdtemp(join(tmpdir(), "block-cache-"));
    try {
      const { floats } = await makeTwins(backend, "q8_0", folder);
      const exact = await logitsOf(backend, floats, "f32");
      const rounded = await logitsOf(backend, floats, "f32", TOKENS.length, "q8_0");
      const divergence = meanDivergence(exact, rounded, config.vocabSize);
      ok(divergence > 0 && divergence < LARGEST_DIVERGENCE, `divergence ${divergence}`);
      deepStrictEqual(await logitsOf(backend, floats, "f32", 1, "q8_0"), rounded, "one by one");
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);
