import assert from "node:assert/strict";
import { join } from "node:path";
import { convertCheckpoint, type ConvertOptions } from "../../lib/checkpoint/convert.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { LlameroError } from "../../lib/base/errors.ts";
import { golden } from "../fixtures.ts";
import { withFolder } from "../formats/folder.ts";
import { converted, makeModel } from "./made_model.ts";
import type { Json } from "./small_model.ts";

/** All names below a folder. */
function namesIn(folder: string): string[] {
  const names = [...Deno.readDirSync(folder)].flatMap((entry) =>
    entry.isDirectory
      ? namesIn(join(folder, entry.name)).map((name) => join(entry.name, name))
      : [entry.name]
  );
  return names.sort();
}

/** Expects a conversion to be refused, with nothing left behind. */
async function refused(
  folder: string,
  options: ConvertOptions & { readonly source: string },
  wanted: { readonly kind: string; readonly message: RegExp; readonly hint?: RegExp },
): Promise<void> {
  const before = namesIn(folder);
  const source = await openCheckpoint(options.source);
  await assert.rejects(() => convertCheckpoint(source, options), (error: unknown) => {
    assert.ok(error instanceof LlameroError, `not of our family: ${(error as Error).stack}`);
    assert.equal(error.name, wanted.kind, error.message);
    assert.match(error.message, wanted.message);
    assert.ok(!error.message.includes("\n"), "the message has more than one line");
    if (wanted.hint !== undefined) assert.match(error.hint ?? "", wanted.hint);
    return true;
  });
  assert.deepEqual(namesIn(folder), before, "something was left behind");
}

/** Registers a refusal of a model that a format cannot hold. */
function cannotHold(
  to: ConvertOptions["to"],
  config: Json,
  message: RegExp,
  options: Partial<ConvertOptions> = {},
): void {
  const what = Object.entries(config).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
  const parts = options.modelParallel === undefined ? "" : ` in ${options.modelParallel} parts`;
  Deno.test(`${to}${parts} refuses ${what.join(", ")} by the field's name`, async () => {
    await withFolder(async (folder) => {
      const source = join(folder, "source");
      await makeModel(source, { config });
      const path = join(folder, "out.bin");
      await refused(folder, { source, path, to, ...options }, { kind: "ConfigError", message });
    });
  });
}

const scaling = {
  rope_type: "llama3",
  ...{ factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
  original_max_position_embeddings: 8192,
};

cannotHold(
  "llama2c",
  { rope_theta: 500000 },
  /"rope_theta" is 500000, and the format would have 10000$/,
);
cannotHold("llama2c", { rms_norm_eps: 1e-6 }, /"rms_norm_eps" is 0\.000001, and .* 0\.00001$/);
cannotHold(
  "llama2c",
  { head_dim: 6 },
  /"head_dim" is 6, and the format takes it to be .*\(8 \/ 2\)$/,
);
cannotHold(
  "llama2c",
  { rope_scaling: scaling, hidden_size: 16, head_dim: 8 },
  /"rope_scaling" is \{type llama3, factor 8, .*\}, and the format would have none$/,
);
cannotHold("meta", { head_dim: 6 }, /"head_dim" is 6, and the format takes it to be/);
cannotHold(
  "meta",
  { rope_scaling: { ...scaling, low_freq_factor: 2 }, hidden_size: 64 },
  /"rope_scaling" is .*low_freq_factor 2.*, and the format would have .*low_freq_factor 1/,
);
const heads = { num_attention_heads: 4, num_key_value_heads: 2, hidden_size: 16 };
cannotHold("meta", heads, /in 4 parts: "num_key_value_heads" is 2, and each part wants one/, {
  modelParallel: 4,
});
cannotHold(
  "meta",
  { num_attention_heads: 4, num_key_value_heads: 4, hidden_size: 16 },
  /in 3 parts: "num_key_value_heads" is 4, a multiple of 3 was wanted$/,
  { modelParallel: 3 },
);
cannotHold(
  "meta",
  { ...heads, vocab_size: 17 },
  /in 2 parts: "vocab_size" is 17, a multiple of 2/,
  {
    modelParallel: 2,
  },
);
cannotHold(
  "meta",
  { ...heads, intermediate_size: 13 },
  /in 2 parts: "intermediate_size" is 13, a multiple of 2/,
  { modelParallel: 2 },
);

for (const to of ["gguf", "meta", "llama2c"] as const) {
  Deno.test(`${to} refuses PaLM by name`, async () => {
    await withFolder(async (folder) => {
      const options = { source: golden("palm"), path: join(folder, "out.bin"), to };
      const message = /"model_type" is PaLM's \("palm-like"\), and the format holds Llamas$/;
      await refused(folder, options, { kind: "ConfigError", message });
    });
  });
}

Deno.test("llama2.c holds f32 alone, and its files must be told by their name", async () => {
  await withFolder(async (folder) => {
    const to = "llama2c" as const;
    const source = golden("llama_gqa");
    const bin = join(folder, "out.bin");
    await refused(folder, { source, path: bin, to, dtype: "bf16" }, {
      kind: "ConfigError",
      message: /the format holds f32 alone, bf16 was wanted/,
      hint: /leave out --dtype/,
    });
    await refused(folder, { source, path: join(folder, "out"), to }, {
      kind: "UsageError",
      message: /must end in \.bin$/,
    });
  });
});

Deno.test("stretched frequencies of another rule are held by GGUF, and of Llama 3.2's factor by both", async () => {
  const rules = [
    { ...scaling, factor: 32 },
    { ...scaling, low_freq_factor: 1.5, high_freq_factor: 6 },
    { ...scaling, original_max_position_embeddings: 4096, factor: 5.25 },
  ];
  for (const [i, rope_scaling] of rules.entries()) {
    await withFolder(async (folder) => {
      const config = { rope_scaling, hidden_size: 64, rope_theta: 500000 };
      const source = await makeModel(join(folder, "source"), { config });
      const gguf = await converted(source, { path: join(folder, "out.gguf"), to: "gguf" });
      assert.deepEqual(gguf.config, source.config);
      if (i > 0) return;
      const meta = await converted(source, { path: join(folder, "meta"), to: "meta" });
      assert.deepEqual(meta.config, source.config);
    });
  }
});

Deno.test("an output that exists is refused, and replaced when forced", async () => {
  for (const to of ["hf", "meta", "gguf", "llama2c"] as const) {
    await withFolder(async (folder) => {
      const source = golden("llama_gqa");
      const path = join(folder, "out.bin");
      await convertCheckpoint(await openCheckpoint(source), { path, to });
      await refused(folder, { source, path, to }, {
        kind: "LlameroError",
        message: /^Cannot write ".*out\.bin": it exists already$/,
        hint: /--force/,
      });
      const tied = await openCheckpoint(golden("llama_gqa_tied"));
      const replaced = await converted(tied, { path, to, force: true });
      assert.ok(replaced.config.tieWordEmbeddings);
    });
  }
});

Deno.test("a folder with anything else in it is not replaced, even when forced", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "out");
    Deno.mkdirSync(path);
    Deno.writeTextFileSync(join(path, "notes.txt"), "mine");
    const options = { source: golden("llama_gqa"), path, to: "hf", force: true } as const;
    await refused(folder, options, {
      kind: "LlameroError",
      message: /it has the file "notes\.txt", which would be lost/,
    });
  });
});

Deno.test("the output may not be the input, by another path, a link or force", async () => {
  await withFolder(async (folder) => {
    const same = { kind: "UsageError", message: /the output is the input$/ };
    const model = join(folder, "model");
    await makeModel(model);
    const to = "hf" as const;
    await refused(folder, { source: model, path: `${model}/../model/`, to, force: true }, same);
    const weights = join(model, "model.safetensors");
    await refused(folder, { source: weights, path: model, to, force: true }, same);
    const gguf = join(folder, "model.gguf");
    await converted(await openCheckpoint(model), { path: gguf, to: "gguf" });
    Deno.symlinkSync(gguf, join(folder, "link.gguf"));
    Deno.linkSync(gguf, join(folder, "hard.gguf"));
    for (const name of ["model.gguf", "link.gguf", "hard.gguf"]) {
      const path = join(folder, name);
      await refused(folder, { source: gguf, path, to: "gguf", force: true }, same);
    }
    await refused(folder, { source: gguf, path: folder, to, force: true }, same);
  });
});

Deno.test("a folder that holds the source is not replaced, even when forced", async () => {
  await withFolder(async (folder) => {
    const outer = join(folder, "outer");
    const source = join(outer, "model");
    await makeModel(source);
    const message = /it has the folder "model", which would be lost/;
    await refused(folder, { source, path: outer, to: "hf", force: true }, {
      kind: "LlameroError",
      message,
    });
  });
});

Deno.test("a source that shrinks while it is read is refused, and leaves nothing", async () => {
  for (const to of ["hf", "meta", "gguf", "llama2c"] as const) {
    await withFolder(async (folder) => {
      const model = join(folder, "model");
      const source = await makeModel(model);
      const weights = join(model, "model.safetensors");
      Deno.truncateSync(weights, Deno.statSync(weights).size - 400);
      const before = namesIn(folder);
      const options = { path: join(folder, "out.bin"), to };
      await assert.rejects(
        () => convertCheckpoint(source, options),
        /^FormatError: Cannot read ".*model\.safetensors": tensor ".*" ends at byte \d+, and the file has \d+ now/,
      );
      assert.deepEqual(namesIn(folder), before);
    });
  }
});

Deno.test("an interrupt stops between chunks, and leaves nothing", async () => {
  for (const to of ["hf", "meta", "gguf", "llama2c"] as const) {
    await withFolder(async (folder) => {
      const source = await openCheckpoint(golden("llama_gqa"));
      const stop = new AbortController();
      const reason = new Error("enough");
      const options = {
        path: join(folder, "out.bin"),
        to,
        signal: stop.signal,
        progress: (done: number, total: number) => {
          if (done > total / 2) stop.abort(reason);
        },
      };
      await assert.rejects(() => convertCheckpoint(source, options), reason);
      assert.deepEqual(namesIn(folder), []);
    });
  }
});
