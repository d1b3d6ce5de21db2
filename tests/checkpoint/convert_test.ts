import assert from "node:assert/strict";
import { basename, join } from "node:path";
import type { Checkpoint, CheckpointFormat } from "../../lib/checkpoint/checkpoint.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { readPytorch } from "../../lib/formats/pytorch.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import { golden } from "../fixtures.ts";
import { withFolder } from "../formats/folder.ts";
import { assertSameTensors, converted, type MadeModel, makeModel } from "./made_model.ts";
import { writeHuggingFace } from "./small_model.ts";

/** One station of a ring: a format, and for Meta's the number of files. */
type Station = readonly [to: CheckpointFormat, modelParallel?: number];

/** Takes a model through formats and back to Hugging Face's, and expects every bit there again. */
async function ring(source: Checkpoint, stations: readonly Station[]): Promise<Checkpoint> {
  let last = source;
  await withFolder(async (folder) => {
    for (const [i, [to, modelParallel]] of [...stations, ["hf"] as const].entries()) {
      last = await converted(last, { path: join(folder, `${i}.bin`), to, modelParallel });
      assert.equal(last.format, to);
    }
    await assertSameTensors(last, source);
  });
  return last;
}

/** The part of a config that decides what a decoder computes. */
function deciding(config: ModelConfig): Partial<ModelConfig> {
  const { bosTokenId: _, eosTokenIds: __, ...rest } = config;
  return rest;
}

for (const [name, parts] of [["llama_mha", 4], ["llama_gqa", 2], ["llama_gqa_tied", 2]] as const) {
  Deno.test(`${name} comes back from Meta in 1 and ${parts} files, GGUF and llama2.c bit by bit`, async () => {
    const source = await openCheckpoint(golden(name));
    const all: Station[] = [["meta"], ["meta", 2], ["meta", parts], ["gguf"], ["llama2c"]];
    const back = await ring(source, [...all, ["gguf"], ["meta", parts]]);
    assert.deepEqual(deciding(back.config), deciding(source.config));
  });
}

Deno.test("llama3 and llama31 come back from Meta and GGUF, which hold theta and stretching", async () => {
  const llama3 = await openCheckpoint(golden("llama3"));
  const back = await ring(llama3, [["meta", 2], ["gguf"], ["meta"]]);
  assert.deepEqual(back.config, llama3.config);
  await withFolder(async (folder) => {
    // The weights of llama31 are those of llama3.
    Deno.copyFileSync(golden("llama31/config.json"), join(folder, "config.json"));
    Deno.copyFileSync(golden("llama3/model.safetensors"), join(folder, "model.safetensors"));
    const llama31 = await openCheckpoint(folder);
    assert.equal(llama31.config.ropeScaling?.factor, 8);
    const back = await ring(llama31, [["gguf"], ["meta", 2], ["gguf"]]);
    assert.deepEqual(back.config, llama31.config);
  });
});

Deno.test("positions stretched by a factor come back from GGUF, and other formats refuse them", async () => {
  await withFolder(async (folder) => {
    const config = JSON.parse(Deno.readTextFileSync(golden("llama_gqa/config.json")));
    const { rope_parameters: _, ...rest } = config;
    const stretched = { ...rest, rope_scaling: { type: "linear", factor: 2.5 } };
    Deno.writeTextFileSync(join(folder, "config.json"), JSON.stringify(stretched));
    Deno.copyFileSync(golden("llama_gqa/model.safetensors"), join(folder, "model.safetensors"));
    const source = await openCheckpoint(folder);
    const back = await ring(source, [["gguf"], ["gguf"]]);
    assert.deepEqual(back.config, source.config);
    assert.deepEqual(back.config.ropeScaling, { type: "linear", factor: 2.5 });
    for (const to of ["meta", "llama2c"] as const) {
      await assert.rejects(
        () => converted(source, { path: join(folder, `${to}.bin`), to }),
        /"rope_scaling" is \{type linear, factor 2.5\}, and the format would have none/,
      );
    }
  });
});

/** YaRNs that llama.cpp finds by its keys, and those that it must be given as factors. */
const YARNS = {
  plain: { factor: 4, original_max_position_embeddings: 64 },
  "of another magnitude": { factor: 4, attention_factor: 0.7 },
  "between other bounds": { factor: 2.5, beta_fast: 16, beta_slow: 2, attention_factor: 1.25 },
  "between bounds that are not rounded": { factor: 16, truncate: false },
};
for (const [name, yarn] of Object.entries(YARNS)) {
  Deno.test(`a YaRN ${name} comes back from GGUF, and other formats refuse it`, async () => {
    await withFolder(async (folder) => {
      const config = JSON.parse(Deno.readTextFileSync(golden("llama_gqa/config.json")));
      const stretched = { ...config, rope_scaling: { rope_type: "yarn", ...yarn } };
      Deno.writeTextFileSync(join(folder, "config.json"), JSON.stringify(stretched));
      Deno.copyFileSync(golden("llama_gqa/model.safetensors"), join(folder, "model.safetensors"));
      const source = await openCheckpoint(folder);
      const back = await ring(source, [["gguf"], ["gguf"]]);
      assert.deepEqual(back.config, source.config);
      for (const to of ["meta", "llama2c"] as const) {
        await assert.rejects(
          () => converted(source, { path: join(folder, `${to}.bin`), to }),
          /"rope_scaling" is \{type yarn, .*\}, and the format would have none/,
        );
      }
    });
  });
}

Deno.test("a base that grows with the text stays in Hugging Face's format", async () => {
  await withFolder(async (folder) => {
    const config = JSON.parse(Deno.readTextFileSync(golden("llama_gqa/config.json")));
    const stretched = { ...config, rope_scaling: { type: "dynamic", factor: 2 } };
    Deno.writeTextFileSync(join(folder, "config.json"), JSON.stringify(stretched));
    Deno.copyFileSync(golden("llama_gqa/model.safetensors"), join(folder, "model.safetensors"));
    const source = await openCheckpoint(folder);
    assert.deepEqual((await ring(source, [])).config, source.config);
    for (const to of ["gguf", "meta", "llama2c"] as const) {
      await assert.rejects(
        () => converted(source, { path: join(folder, `${to}.bin`), to }),
        /"rope_scaling" is \{type dynamic, factor 2, .*\}, and the format would have none/,
      );
    }
  });
});

for (const name of ["llama_mha", "llama_gqa"]) {
  Deno.test(`${name} in Meta's layout is its twin bit by bit, and so is the twin in Hugging Face's`, async () => {
    const [source, twin] = [golden(name), join(golden(name), "meta")];
    await withFolder(async (folder) => {
      const path = join(folder, "meta");
      await converted(await openCheckpoint(source), { path, to: "meta" });
      const { records } = await readPytorch(join(path, "consolidated.00.pth"));
      const wanted = await readSafetensors(join(twin, "consolidated.safetensors"));
      assert.deepEqual(new Set(records.keys()), new Set(wanted.records.keys()));
      for (const [tensor, record] of records) {
        const other = wanted.records.get(tensor)!;
        assert.deepEqual(record.shape, other.shape, tensor);
        assert.deepEqual(await readTensor(record), await readTensor(other), tensor);
      }
      const hf = join(folder, "hf");
      const back = await converted(await openCheckpoint(twin), { path: hf, to: "hf" });
      await assertSameTensors(back, await openCheckpoint(source));
    });
  });
}

Deno.test("GGUF and llama2.c files of golden models hold the tensors of the Meta twin", async () => {
  await withFolder(async (folder) => {
    const source = await openCheckpoint(golden("llama_gqa"));
    const twin = await openCheckpoint(golden("llama_gqa/meta"));
    for (const to of ["gguf", "llama2c"] as const) {
      const is = await converted(source, { path: join(folder, `${to}.bin`), to });
      await assertSameTensors(is, twin);
    }
  });
});

/** Models that the golden ones are not: what differs in their config, and the stations that hold them. */
const MADE: readonly (readonly [name: string, made: MadeModel, stations: readonly Station[]])[] = [
  [
    "a tied model with grouped heads",
    { config: { tie_word_embeddings: true, num_attention_heads: 4, num_key_value_heads: 2 } },
    [["meta"], ["meta", 2], ["gguf"], ["llama2c"]],
  ],
  [
    "a model whose heads are wider than their share of the hidden size",
    { config: { head_dim: 6 } },
    [["gguf"], ["hf"], ["gguf"]],
  ],
  [
    "a model with Llama 3's vocabulary",
    { config: { vocab_size: 128256, num_key_value_heads: 2 }, dtype: "bf16" },
    [["meta"], ["meta", 2], ["gguf"]],
  ],
  [
    "a model with Llama 3's vocabulary and one matrix as embedding and head",
    {
      config: { vocab_size: 128256, num_key_value_heads: 2, tie_word_embeddings: true },
      dtype: "bf16",
    },
    [["meta", 2], ["gguf"], ["meta"]],
  ],
  ["a bfloat16 model", { dtype: "bf16" }, [["meta"], ["gguf"], ["gguf"]]],
  ["a float16 model", { dtype: "f16" }, [["gguf"], ["meta"], ["gguf"]]],
  ["bfloat16 with float32 norms", { dtype: "bf16", normDtype: "f32" }, [["gguf"], ["gguf"]]],
  ["float32 with bfloat16 norms", { dtype: "f32", normDtype: "bf16" }, [["gguf"], ["meta"]]],
  [
    "eight heads in 1, 2, 4 and 8 files",
    {
      config: {
        hidden_size: 32,
        intermediate_size: 40,
        num_attention_heads: 16,
        num_key_value_heads: 8,
      },
    },
    [["meta", 8], ["meta", 4], ["meta", 2], ["meta", 1], ["meta", 8], ["gguf"]],
  ],
];

for (const [name, made, stations] of MADE) {
  const way = stations.map(([to, parts]) => parts === undefined ? to : `${to} in ${parts}`);
  Deno.test(`${name} comes back bit by bit through ${way.join(", ")}`, async () => {
    await withFolder(async (folder) => {
      const source = await makeModel(folder, made);
      const back = await ring(source, stations);
      const tokens = stations.some(([to]) => to !== "gguf" && to !== "hf");
      if (tokens) assert.deepEqual(deciding(back.config), deciding(source.config));
      else assert.deepEqual(back.config, source.config);
    });
  });
}

Deno.test("PaLM goes from Hugging Face's format to Hugging Face's", async () => {
  const source = await openCheckpoint(golden("palm"));
  const back = await ring(source, []);
  assert.deepEqual(back.config, source.config);
});

Deno.test("PyTorch weights of Hugging Face's are read and come back as safetensors", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder, { file: "pytorch_model.bin" });
    const source = await openCheckpoint(folder);
    const back = await ring(source, [["meta"]]);
    assert.deepEqual(back.files.map((file) => basename(file)), ["model.safetensors"]);
  });
});
