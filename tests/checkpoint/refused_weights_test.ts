import { join } from "node:path";
import { withFolder } from "../formats/folder.ts";
import { type Refusal, refused, reshaped } from "./refused.ts";
import {
  CONFIG,
  type Json,
  PARAMS,
  tensor,
  type Tensors,
  tensors,
  writeHuggingFace,
  writeMeta,
} from "./small_model.ts";

/** Registers a test over a Hugging Face folder with one thing spoilt. */
function huggingFace(
  what: string,
  wanted: Refusal,
  spoil: { readonly config?: Json; readonly tensors?: (all: Tensors) => void },
): void {
  Deno.test(`a Hugging Face model is refused: ${what}`, async () => {
    await withFolder(async (folder) => {
      const all = tensors("huggingFace");
      spoil.tensors?.(all);
      await writeHuggingFace(folder, { config: { ...CONFIG, ...spoil.config }, tensors: all });
      await refused(folder, wanted);
    });
  });
}

const Q = "model.layers.0.self_attn.q_proj.weight";

huggingFace("a tensor is missing", {
  kind: "FormatError",
  message: /model\.safetensors": tensor ".*1\.mlp\.up_proj\.weight" is missing, .* \[12, 8\]/,
}, { tensors: (all) => all.delete("model.layers.1.mlp.up_proj.weight") });

huggingFace("several tensors are missing", {
  kind: "FormatError",
  message: /"model\.layers\.0\.input_layernorm\.weight" \(and 8 more\) is missing/,
}, {
  tensors: (all) => {
    for (const name of [...all.keys()]) if (name.includes("layers.0")) all.delete(name);
  },
});

huggingFace("the head is missing and not tied", {
  kind: "FormatError",
  message: /tensor "lm_head\.weight" is missing/,
  hint: /"tie_word_embeddings" must be true/,
}, { tensors: (all) => all.delete("lm_head.weight") });

huggingFace("the head is tied and differs from the embedding", {
  kind: "FormatError",
  message: /tensor "lm_head\.weight" differs from the embedding/,
  hint: /"tie_word_embeddings" to false/,
}, { config: { tie_word_embeddings: true } });

huggingFace("the config says one layer more", {
  kind: "FormatError",
  message: /"model\.layers\.2\.input_layernorm\.weight" \(and 8 more\) is missing, config\.json/,
}, { config: { num_hidden_layers: 3 } });

huggingFace("the config says one layer less", {
  kind: "FormatError",
  message: /"model\.layers\.1\..*" \(and 8 more\) is none that config\.json wants/,
  hint: /the config says 1 layers, and this is layer 1/,
}, { config: { num_hidden_layers: 1 } });

huggingFace("the config says another vocabulary", {
  kind: "ShapeError",
  message: /"model\.embed_tokens\.weight" has shape \[16, 8\], config\.json wants \[32, 8\]/,
}, { config: { vocab_size: 32 } });

huggingFace("the config says another width", {
  kind: "ShapeError",
  message: /"model\.embed_tokens\.weight" has shape \[16, 8\], config\.json wants \[16, 16\]/,
}, { config: { hidden_size: 16 } });

huggingFace("the config says another feed-forward width", {
  kind: "ShapeError",
  message: /"model\.layers\.0\.mlp\.gate_proj\.weight" has shape \[12, 8\], .* \[24, 8\]/,
}, { config: { intermediate_size: 24 } });

huggingFace("the config says more kv heads", {
  kind: "ShapeError",
  message: /"model\.layers\.0\.self_attn\.k_proj\.weight" has shape \[4, 8\], .* \[8, 8\]/,
}, { config: { num_key_value_heads: 2 } });

huggingFace("the config says another head width", {
  kind: "ShapeError",
  message: /"model\.layers\.0\.self_attn\.q_proj\.weight" has shape \[8, 8\], .* \[12, 8\]/,
}, { config: { head_dim: 6 } });

huggingFace("a matrix is transposed", {
  kind: "ShapeError",
  message: /"model\.layers\.0\.mlp\.down_proj\.weight" has shape \[12, 8\], .* \[8, 12\]/,
}, { tensors: reshaped("model.layers.0.mlp.down_proj.weight", 12, 8) });

huggingFace("a matrix has an axis more", {
  kind: "ShapeError",
  message: /q_proj\.weight" has shape \[1, 8, 8\], .* \[8, 8\]/,
}, { tensors: reshaped(Q, 1, 8, 8) });

huggingFace("a norm is a number", {
  kind: "ShapeError",
  message: /"model\.norm\.weight" has shape \[\], config\.json wants \[8\]/,
}, { tensors: reshaped("model.norm.weight") });

huggingFace("a tensor is empty", {
  kind: "ShapeError",
  message: /"model\.norm\.weight" has shape \[0\], config\.json wants \[8\]/,
}, { tensors: reshaped("model.norm.weight", 0) });

for (const [dtype, bytes] of [["i64", 8], ["u8", 1], ["f64", 8], ["f8_e4m3", 1]] as const) {
  huggingFace(`a weight is ${dtype}`, {
    kind: "FormatError",
    message: new RegExp(`q_proj\\.weight" is ${dtype}, a weight of f32, f16 or bf16 was wanted`),
  }, {
    tensors: (all) =>
      all.set(Q, { name: Q, dtype, shape: [8, 8], data: new Uint8Array(64 * bytes) }),
  });
}

huggingFace("a projection has a bias", {
  kind: "FormatError",
  message: /"model\.layers\.0\.self_attn\.q_proj\.bias" is none that config\.json wants/,
  hint: /biases are not Llamas/,
}, { tensors: reshaped("model.layers.0.self_attn.q_proj.bias", 8) });

huggingFace("there is a tensor of something else", {
  kind: "FormatError",
  message: /"model\.vision\.weight" is none that config\.json wants/,
}, { tensors: reshaped("model.vision.weight", 3) });

huggingFace("a Llama's weights under a PaLM's config", {
  kind: "FormatError",
  message: /post_attention_layernorm\.weight" \(and 1 more\) is none that/,
}, {
  config: {
    model_type: "palm-like",
    architectures: null,
    layer_norm_eps: 1e-5,
  },
});

Deno.test("the hint names the preset that the tensors look like", async () => {
  await withFolder(async (folder) => {
    const all = tensors("huggingFace");
    all.set("model.embed_tokens.weight", tensor("model.embed_tokens.weight", [16, 64]));
    all.set(
      "model.layers.0.mlp.gate_proj.weight",
      tensor("model.layers.0.mlp.gate_proj.weight", [176, 64]),
    );
    await writeHuggingFace(folder, { tensors: all });
    await refused(folder, {
      kind: "ShapeError",
      message: /embed_tokens\.weight" has shape \[16, 64\]/,
      hint: /the tensors look like debug/,
    });
  });
});

Deno.test("PyTorch weights that do not fit their config are refused as safetensors are", async () => {
  await withFolder(async (folder) => {
    const config = { ...CONFIG, vocab_size: 20 };
    await writeHuggingFace(folder, { config, file: "pytorch_model.bin" });
    await refused(folder, {
      kind: "ShapeError",
      message: /pytorch_model\.bin": tensor "model\.embed_tokens\.weight" has shape \[16, 8\]/,
    });
  });
});

/** Registers a test over a Hugging Face folder whose config.json is this text. */
function configText(what: string, text: string, wanted: Refusal): void {
  Deno.test(`a config.json is refused: ${what}`, async () => {
    await withFolder(async (folder) => {
      await writeHuggingFace(folder);
      Deno.writeTextFileSync(join(folder, "config.json"), text);
      await refused(folder, wanted);
    });
  });
}

configText("it is empty", "", { kind: "ConfigError", message: /config\.json": it is empty/ });
configText("it is cut short", '{"model_type": "llama", "hidden', {
  kind: "ConfigError",
  message: /config\.json": the JSON ends inside a string \(at byte \d+\)/,
});
configText("it has a key twice", '{"vocab_size": 16, "vocab_size": 17}', {
  kind: "ConfigError",
  message: /the key "vocab_size" twice/,
});
configText("it is a list", "[]", { kind: "ConfigError", message: /it is a list of 0, an object/ });
configText("it is nested without end", "[".repeat(100_000), {
  kind: "ConfigError",
  message: /nested deeper/,
});
configText("it has Python's NaN", '{"model_type": "llama", "rms_norm_eps": NaN}', {
  kind: "ConfigError",
  message: /config\.json": the JSON has 'N' where a value was wanted/,
});
configText("it names a terminal's control sequence", '{"model_type": "\\u001b[2J\\u009b"}', {
  kind: "ConfigError",
  message: /architecture is "\\u001b\[2J\\u009b", a Llama was wanted/,
});
configText("it says a prototype's key", '{"__proto__": {"model_type": "llama"}}', {
  kind: "ConfigError",
  message: /neither "model_type" nor "architectures"/,
});

Deno.test("a generation_config.json that is no JSON is refused by its name", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    Deno.writeTextFileSync(join(folder, "generation_config.json"), "{");
    await refused(folder, { kind: "ConfigError", message: /generation_config\.json": the JSON/ });
  });
});

/** Registers a test over a Meta folder with one thing spoilt. */
function meta(
  what: string,
  wanted: Refusal,
  spoil: { readonly params?: Json; readonly tensors?: (all: Tensors) => void },
): void {
  Deno.test(`a Meta model is refused: ${what}`, async () => {
    await withFolder(async (folder) => {
      const all = tensors("meta");
      spoil.tensors?.(all);
      await writeMeta(folder, { params: { ...PARAMS, ...spoil.params }, tensors: all });
      await refused(folder, wanted);
    });
  });
}

meta("the feed-forward rule gives another width", {
  kind: "ShapeError",
  message:
    /"layers\.0\.feed_forward\.w1\.weight" has shape \[12, 8\], params\.json wants \[24, 8\]/,
}, { params: { ffn_dim_multiplier: 1 } });
meta("params.json says more layers", {
  kind: "FormatError",
  message: /"layers\.2\.attention_norm\.weight" \(and 8 more\) is missing/,
}, { params: { n_layers: 3 } });
meta("the embedding is missing", {
  kind: "FormatError",
  message: /tensor "tok_embeddings\.weight" is missing/,
}, { tensors: (all) => all.delete("tok_embeddings.weight") });
meta("params.json says another vocabulary", {
  kind: "ConfigError",
  message: /params\.json": "vocab_size" is 17, 16 \(the embedding's rows\) or -1 was wanted/,
}, { params: { vocab_size: 17 } });
meta("the head has other rows than the embedding", {
  kind: "ShapeError",
  message: /"output\.weight" has shape \[15, 8\], params\.json wants \[16, 8\]/,
}, { tensors: reshaped("output.weight", 15, 8) });
