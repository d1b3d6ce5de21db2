/**
 * Speed of llama.cpp itself, called as its own `llama-bench` calls it, as one JSON line. Run by
 * compare.ts:
 *
 *     deno run -A library.ts FOLDER MODEL THREADS PROMPT TOKENS
 *
 * FOLDER has the libraries that node-llama-cpp ships. A generator in JavaScript that hands over every
 * token keeps a third thread busy beside llama.cpp's two, which wait for one another by spinning: on
 * two processors it measures this meeting more than llama.cpp.
 *
 * Source: `include/llama.h` at llama.cpp v0.5.0, whose parameters are laid out below.
 *
 * @module
 */

import { join } from "node:path";

/** The version whose structures these are. */
const VERSION = "v0.5.0";

const NUMBERS = { u32: 4, i32: 4, f32: 4, bool: 1, pointer: 8, usize: 8 } as const;
type Fields = readonly (readonly [name: string, type: keyof typeof NUMBERS, count?: number])[];

const MODEL_PARAMETERS: Fields = [
  ["devices", "pointer", 2],
  ["n_gpu_layers", "i32"],
  ["modes", "i32", 4],
  ["pointers", "pointer", 4],
  ["flags", "bool", 6],
];
const CONTEXT_PARAMETERS: Fields = [
  ["n_ctx", "u32"],
  ["n_batch", "u32"],
  ["n_ubatch", "u32"],
  ["limits", "u32", 4],
  ["n_threads", "i32"],
  ["n_threads_batch", "i32"],
  ["types", "i32", 5],
  ["rope", "f32", 6],
  ["yarn_orig_ctx", "u32"],
  ["defrag_threshold", "f32"],
  ["callback", "pointer", 2],
  ["cache", "i32", 2],
  ["abort", "pointer", 2],
  ["flags", "bool", 6],
  ["samplers", "pointer"],
  ["n_samplers", "usize"],
  ["other", "pointer"],
];
const BATCH: Fields = [["n_tokens", "i32"], ["arrays", "pointer", 6]];

/** A structure as the foreign functions take it. */
function structure(fields: Fields): { readonly struct: Deno.NativeType[] } {
  return { struct: fields.flatMap(([, type, count = 1]) => Array(count).fill(type)) };
}

/** Where a field begins. */
function offsetOf(fields: Fields, wanted: string): number {
  let at = 0;
  for (const [name, type, count = 1] of fields) {
    const size = NUMBERS[type];
    at = Math.ceil(at / size) * size;
    if (name === wanted) return at;
    at += size * count;
  }
  throw new Error(`there is no field ${wanted}`);
}

const MODEL = structure(MODEL_PARAMETERS);
const CONTEXT = structure(CONTEXT_PARAMETERS);
const TOKENS = structure(BATCH);

const [folder, path, ...numbers] = Deno.args as [string, string, ...string[]];
const [threads, prompt, tokens] = numbers.map(Number) as [number, number, number];

const { symbols: ggml } = Deno.dlopen(join(folder, `libggml.${VERSION}.so`), {
  ggml_backend_load_all_from_path: { parameters: ["buffer"], result: "void" },
  ggml_backend_dev_by_type: { parameters: ["i32"], result: "pointer" },
});
const { symbols: base } = Deno.dlopen(join(folder, "libggml-base.so"), {
  ggml_backend_dev_backend_reg: { parameters: ["pointer"], result: "pointer" },
  ggml_backend_reg_get_proc_address: { parameters: ["pointer", "buffer"], result: "pointer" },
  ggml_threadpool_params_init: { parameters: ["buffer", "i32"], result: "void" },
});
const { symbols: llama } = Deno.dlopen(join(folder, `libllama.${VERSION}.so`), {
  llama_backend_init: { parameters: [], result: "void" },
  llama_model_default_params: { parameters: [], result: MODEL },
  llama_context_default_params: { parameters: [], result: CONTEXT },
  llama_model_load_from_file: { parameters: ["buffer", MODEL], result: "pointer" },
  llama_init_from_model: { parameters: ["pointer", CONTEXT], result: "pointer" },
  llama_attach_threadpool: { parameters: ["pointer", "pointer", "pointer"], result: "void" },
  llama_get_memory: { parameters: ["pointer"], result: "pointer" },
  llama_memory_clear: { parameters: ["pointer", "bool"], result: "void" },
  llama_batch_get_one: { parameters: ["buffer", "i32"], result: TOKENS },
  llama_decode: { parameters: ["pointer", TOKENS], result: "i32" },
  llama_synchronize: { parameters: ["pointer"], result: "void" },
});

const text = (value: string) => new TextEncoder().encode(`${value}\0`);
ggml.ggml_backend_load_all_from_path(text(folder));
llama.llama_backend_init();

const modelParameters = llama.llama_model_default_params();
const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset);
view(modelParameters).setInt32(offsetOf(MODEL_PARAMETERS, "n_gpu_layers"), 0, true);
const model = llama.llama_model_load_from_file(text(path), modelParameters);
if (model === null) throw new Error(`llama.cpp does not load ${path}`);

const parameters = llama.llama_context_default_params();
for (
  const [name, value] of [
    ["n_ctx", prompt + tokens + 64],
    ["n_batch", 2048],
    ["n_ubatch", 512],
    ["n_threads", threads],
    ["n_threads_batch", threads],
  ] as const
) view(parameters).setInt32(offsetOf(CONTEXT_PARAMETERS, name), value, true);
const context = llama.llama_init_from_model(model, parameters);
if (context === null) throw new Error("llama.cpp makes no context");
llama.llama_attach_threadpool(context, threadPool(), null);
const memory = llama.llama_get_memory(context);

/** Threads that stay: without them llama.cpp starts new ones for every token. */
function threadPool(): Deno.PointerValue {
  const processor = base.ggml_backend_dev_backend_reg(ggml.ggml_backend_dev_by_type(0));
  const make = base.ggml_backend_reg_get_proc_address(processor, text("ggml_threadpool_new"));
  if (make === null) throw new Error("llama.cpp has no ggml_threadpool_new");
  // A mask of 512 processors, then threads, priority, polling and two flags.
  const wanted = new Uint8Array(1024);
  base.ggml_threadpool_params_init(wanted, threads);
  const signature = { parameters: ["buffer"], result: "pointer" } as const;
  return new Deno.UnsafeFnPointer(make as Deno.PointerObject<typeof signature>, signature)
    .call(wanted);
}

function decode(ids: Int32Array<ArrayBuffer>): void {
  const status = llama.llama_decode(context, llama.llama_batch_get_one(ids, ids.length));
  if (status !== 0) throw new Error(`llama_decode gives ${status}`);
  llama.llama_synchronize(context);
}

const drawn = (count: number) =>
  Int32Array.from({ length: count }, (_, i) => 300 + (i * 7919) % 30_000);

function seconds(work: () => void): number {
  llama.llama_memory_clear(memory, true);
  const start = performance.now();
  work();
  return (performance.now() - start) / 1e3;
}

const ids = drawn(prompt);
const steps = Array.from(drawn(tokens), (id) => Int32Array.of(id));
const takePrompt = () => decode(ids);
const takeSteps = () => steps.forEach(decode);
seconds(takePrompt);
seconds(() => steps.slice(0, 8).forEach(decode));
console.log(JSON.stringify({
  prompt: prompt / seconds(takePrompt),
  decode: tokens / seconds(takeSteps),
}));
// Its threads need no waiting for.
Deno.exit(0);
