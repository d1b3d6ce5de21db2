import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError, FormatError, LlameroError, UsageError } from "../../lib/base/errors.ts";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import { convertCheckpoint } from "../../lib/checkpoint/convert.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { tensorValues } from "../../lib/checkpoint/tensor_values.ts";
import { readGguf } from "../../lib/formats/gguf.ts";
import { writeSafetensors } from "../../lib/formats/safetensors_write.ts";
import { parseHuggingFaceConfig } from "../../lib/model/config_huggingface.ts";
import { weightSpecs } from "../../lib/model/weights.ts";
import { readImportance } from "../../lib/quant/importance_file.ts";
import { type MixtureName, MIXTURES } from "../../lib/quant/mixture.ts";
import { quantizeCheckpoint, type QuantizeOptions } from "../../lib/quant/quantize.ts";
import { bytesOf, withFolder } from "../formats/folder.ts";
import { onBackends } from "../on_backends.ts";
import { CONFIG, type Json, tensor } from "../checkpoint/small_model.ts";
import { binaryImportance } from "./importance.ts";

/** Rows of 256 in most matrices, of 384 in the last of a block. */
const SIZES: Json = {
  ...CONFIG,
  hidden_size: 256,
  intermediate_size: 384,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 32,
};

async function makeModel(folder: string, json: Json = SIZES): Promise<Checkpoint> {
  const config = parseHuggingFaceConfig(json, "config.json");
  const tensors = weightSpecs(config).map(({ names, shape }) => tensor(names.huggingFace, shape));
  Deno.writeTextFileSync(join(folder, "config.json"), JSON.stringify(json));
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  return await openCheckpoint(folder);
}

/** Largest relative error by type: one and a half times what ggml's blocks lose of uniform numbers. */
const LARGEST_ERROR: Readonly<Record<string, number>> = {
  f16: 0.0005,
  q8_0: 0.006,
  q6_k: 0.02,
  q5_k: 0.04,
  q5_0: 0.045,
  q5_1: 0.045,
  q4_k: 0.08,
  q4_0: 0.09,
  q4_1: 0.09,
  q3_k: 0.17,
  q2_k: 0.33,
};

function valuesOf(checkpoint: Checkpoint, name: string): number[] {
  const record = checkpoint.tensors.get(name)!;
  return [...tensorValues(record)!].flatMap((chunk) => Array.from(chunk));
}

/** Differences relative to the numbers, in root mean squares. */
function relativeError(is: readonly number[], wanted: readonly number[]): number {
  assert.equal(is.length, wanted.length);
  const squares = (values: readonly number[]) => values.reduce((sum, x) => sum + x * x, 0);
  return Math.sqrt(squares(wanted.map((x, i) => x - is[i]!)) / squares(wanted));
}

onBackends("every mixture is read back within the errors of its types", async ({ open }) => {
  using one = await open(2);
  await withFolder(async (folder) => {
    const source = await makeModel(folder);
    // Rows in rotary pairs, as GGUF has them.
    const before = join(folder, "before.gguf");
    await convertCheckpoint(source, { path: before, to: "gguf" });
    const wanted = await openCheckpoint(before);
    for (const mixture of Object.keys(MIXTURES) as MixtureName[]) {
      const path = join(folder, `${mixture}.gguf`);
      const result = await quantizeCheckpoint(source, {
        path,
        mixture,
        backend: one.backend,
        measure: true,
      });
      const { metadata } = await readGguf(path);
      assert.deepEqual(metadata.get("general.file_type"), {
        type: "u32",
        value: MIXTURES[mixture].fileType,
      });
      assert.deepEqual(metadata.get("general.quantization_version"), { type: "u32", value: 2 });
      const is = await openCheckpoint(path);
      const specs = weightSpecs(source.config);
      assert.deepEqual(
        result.weights.map(({ name }) => name),
        specs.map((spec) => spec.names.gguf),
      );
      for (const [i, spec] of specs.entries()) {
        const { to, error } = result.weights[i]!;
        const label = `${mixture}: ${spec.name} as ${to}`;
        assert.equal(is.tensors.get(spec.name)!.dtype, to, label);
        const off = relativeError(valuesOf(is, spec.name), valuesOf(wanted, spec.name));
        if (spec.shape.length === 1) assert.equal(off, 0, label);
        else {
          assert.ok(off > 0 && off <= LARGEST_ERROR[to]!, `${label}: ${off}`);
          assert.ok(
            Math.abs(error!.relative - off) < 1e-9,
            `${label}: measured ${error!.relative}`,
          );
        }
      }
    }
  });
});

onBackends("matrices get the types of the mixture", async ({ open }) => {
  using one = await open();
  await withFolder(async (folder) => {
    const source = await makeModel(folder);
    const options = { mixture: "q3_k_m", backend: one.backend } as const;
    const { weights } = await quantizeCheckpoint(source, {
      ...options,
      path: join(folder, "a.gguf"),
    });
    const types = Object.fromEntries(weights.map(({ name, to }) => [name, to]));
    assert.equal(types["token_embd.weight"], "q3_k");
    assert.equal(types["output.weight"], "q6_k");
    assert.equal(types["output_norm.weight"], "f32");
    assert.equal(types["blk.0.attn_norm.weight"], "f32");
    assert.equal(types["blk.1.attn_v.weight"], "q5_k");
    assert.equal(types["blk.1.attn_output.weight"], "q4_k");
    assert.equal(types["blk.0.ffn_up.weight"], "q3_k");
    // 384 columns are no multiple of 256: what would be q4_k falls back to q5_0.
    assert.equal(types["blk.0.ffn_down.weight"], "q5_0");
  });
});

onBackends("rows that no block divides become f16", async ({ open }) => {
  using one = await open();
  await withFolder(async (folder) => {
    const source = await makeModel(folder, CONFIG);
    const path = join(folder, "a.gguf");
    const { weights } = await quantizeCheckpoint(source, {
      path,
      mixture: "q4_0",
      backend: one.backend,
    });
    assert.deepEqual([...new Set(weights.map(({ to }) => to))].sort(), ["f16", "f32"]);
  });
});

/** What a refused or stopped quantization must leave: the model alone. */
async function refuses(
  folder: string,
  run: () => Promise<unknown>,
  wanted: { readonly error: new (...args: never[]) => Error; readonly message: RegExp },
): Promise<void> {
  const before = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  await assert.rejects(run, (error: unknown) => {
    assert.ok(error instanceof wanted.error, String(error));
    assert.match((error as Error).message, wanted.message);
    return true;
  });
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), before);
}

onBackends("what cannot be written is refused and leaves nothing behind", async ({ open }) => {
  using one = await open();
  await withFolder(async (folder) => {
    const source = await makeModel(folder);
    const path = join(folder, "out.gguf");
    const quantize = (more: Partial<QuantizeOptions> = {}, from = source) =>
      quantizeCheckpoint(from, { path, mixture: "q8_0", backend: one.backend, ...more });
    const weights = join(folder, "model.safetensors");
    await refuses(folder, () => quantize({ path: weights, force: true }), {
      error: UsageError,
      message: /the output is the input/,
    });
    const palm = { ...source, config: { ...source.config, architecture: "palm" as const } };
    await refuses(folder, () => quantize({}, palm), { error: ConfigError, message: /PaLM/ });
    const stopped = new AbortController();
    stopped.abort(new LlameroError("stopped by the test"));
    await refuses(folder, () => quantize({ signal: stopped.signal }), {
      error: LlameroError,
      message: /stopped by the test/,
    });
    const midway = new AbortController();
    const progress = () => midway.abort(new LlameroError("stopped midway"));
    await refuses(folder, () => quantize({ signal: midway.signal, progress }), {
      error: LlameroError,
      message: /stopped midway/,
    });
    Deno.writeFileSync(path, bytesOf("kept"));
    await refuses(folder, () => quantize(), { error: LlameroError, message: /exists/ });
    assert.equal(Deno.readTextFileSync(path), "kept");
  });
});

onBackends("a number that is not finite is refused by row and column", async ({ open }) => {
  using one = await open();
  await withFolder(async (folder) => {
    const source = await makeModel(folder);
    const { offset } = source.tensors.get("layers.1.feed_forward.down")!;
    const file = join(folder, "model.safetensors");
    const bytes = Deno.readFileSync(file);
    new DataView(bytes.buffer).setFloat32(offset + 4 * (7 * 384 + 5), NaN, true);
    Deno.writeFileSync(file, bytes);
    const options = {
      path: join(folder, "a.gguf"),
      mixture: "q4_0",
      backend: one.backend,
    } as const;
    await refuses(folder, () => quantizeCheckpoint(source, options), {
      error: FormatError,
      message: /"blk\.1\.ffn_down\.weight" has NaN in row 7, column 5/,
    });
  });
});

onBackends("importance makes errors small where it is large", async ({ open }) => {
  using one = await open();
  await withFolder(async (folder) => {
    const source = await makeModel(folder);
    const name = "blk.0.ffn_up.weight";
    const values = Float32Array.from({ length: 256 }, (_, i) => i < 32 ? 1000 : 0.001);
    const file = join(folder, "imatrix.dat");
    Deno.writeFileSync(file, binaryImportance([{ name, values }]));
    const importance = await readImportance(file);
    const [plain, weighted] = [join(folder, "plain.gguf"), join(folder, "weighted.gguf")];
    const options = { mixture: "q2_k", backend: one.backend } as const;
    await quantizeCheckpoint(source, { ...options, path: plain });
    const result = await quantizeCheckpoint(source, { ...options, path: weighted, importance });
    assert.match(result.notes[0]!, /says nothing of token_embd\.weight, /);
    assert.ok(!result.notes[0]!.includes(name));
    const canonical = "layers.0.feed_forward.up";
    const wanted = valuesOf(source, canonical);
    const errorIn = async (path: string) => {
      const is = valuesOf(await openCheckpoint(path), canonical);
      return wanted.reduce((sum, x, i) => i % 256 < 32 ? sum + (x - is[i]!) ** 2 : sum, 0);
    };
    assert.ok(await errorIn(weighted) < await errorIn(plain));
  });
});

onBackends("importance of another model is refused", async ({ open }) => {
  using one = await open();
  await withFolder(async (folder) => {
    const source = await makeModel(folder);
    const file = join(folder, "imatrix.dat");
    const attempt = async (name: string, columns: number) => {
      const values = new Float32Array(columns).fill(1);
      Deno.writeFileSync(file, binaryImportance([{ name, values }]));
      const importance = await readImportance(file);
      const path = join(folder, "a.gguf");
      return quantizeCheckpoint(source, {
        path,
        mixture: "q4_0",
        backend: one.backend,
        importance,
      });
    };
    await assert.rejects(attempt("blk.0.attn_q.weight", 128), /128 columns, and .* 256/);
    await assert.rejects(attempt("blk.9.attn_q.weight", 256), /none of its 1 entries/);
  });
});
