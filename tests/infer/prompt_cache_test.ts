import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { writeSafetensors } from "../../lib/formats/safetensors_write.ts";
import { generate, type GeneratedText } from "../../lib/infer/generate.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { PromptCache } from "../../lib/infer/prompt_cache.ts";
import type { KvType } from "../../lib/model/kv_cache.ts";
import { testWith } from "../fixtures.ts";
import { openBackend } from "../../lib/backend/open.ts";
import { STORIES, STORIES_TOKENIZER } from "./stories.ts";

const NEEDED = [`${STORIES}/config.json`];
const LONG = "Once upon a time, there was a little boy named Tim. ".repeat(4);

async function withModel(use: (model: LanguageModel, path: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  const backend = openBackend({ backend: "wasm", threads: 1 });
  const model = await LanguageModel.open(STORIES, { backend, tokenizer: STORIES_TOKENIZER });
  try {
    await use(model, join(folder, "prompt.cache"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

interface Run {
  readonly path?: string;
  readonly kvType?: KvType;
  readonly notes?: string[];
}

async function run(model: LanguageModel, text: string, { path, kvType, notes }: Run = {}) {
  const pieces = generate(model, {
    prompt: model.encodePrompt(text),
    maxTokens: 40,
    kvType,
    sampling: { temperature: 0.8 },
    promptCache: path === undefined
      ? undefined
      : await PromptCache.open(model, path, (note) => notes?.push(note)),
  });
  for (;;) {
    const next = await pieces.next();
    if (next.done) return next.value;
  }
}

const plain = ({ text, tokens }: GeneratedText) => ({ text, tokens });

for (const kvType of ["f32", "f16"] as const) {
  testWith(NEEDED, `a cached prompt gives the same text (${kvType})`, async () => {
    await withModel(async (model, path) => {
      const wanted = await run(model, LONG, { kvType });
      const first = await run(model, LONG, { kvType, path });
      const second = await run(model, LONG, { kvType, path });
      deepStrictEqual([first, second].map(plain), [wanted, wanted].map(plain));
      deepStrictEqual([first.cachedTokens, second.cachedTokens], [0, wanted.promptTokens - 1]);
    });
  });
}

testWith(NEEDED, "a prompt that only begins the same uses what is the same", async () => {
  await withModel(async (model, path) => {
    await run(model, LONG, { path });
    const other = `${LONG.slice(0, 120)} But then a big dog came.`;
    const wanted = await run(model, other);
    const cached = await run(model, other, { path });
    deepStrictEqual(plain(cached), plain(wanted));
    ok(cached.cachedTokens > 20 && cached.cachedTokens < wanted.promptTokens);
    // The file now holds the other prompt.
    strictEqual((await run(model, other, { path })).cachedTokens, wanted.promptTokens - 1);
  });
});

testWith(NEEDED, "a cache of other types is made anew, and that is said", async () => {
  await withModel(async (model, path) => {
    await run(model, LONG, { path, kvType: "f16" });
    const notes: string[] = [];
    const result = await run(model, LONG, { path, kvType: "f32", notes });
    strictEqual(result.cachedTokens, 0);
    strictEqual(notes.length, 1, String(notes));
    ok(notes[0]!.includes("made anew: it is of another kv_type"), String(notes));
  });
});

testWith(NEEDED, "a file that is no prompt cache is refused and stays", async () => {
  await withModel(async (model, path) => {
    await Deno.copyFile(join(STORIES, "model.safetensors"), path);
    const before = await Deno.readFile(path);
    await rejects(
      () => run(model, LONG, { path }),
      /^FormatError: Cannot use .* as a prompt cache: it holds something else$/,
    );
    deepStrictEqual(await Deno.readFile(path), before);
  });
});

testWith(NEEDED, "a damaged prompt cache is refused", async () => {
  await withModel(async (model, path) => {
    await run(model, LONG, { path });
    const bytes = await Deno.readFile(path);
    await Deno.writeFile(path, bytes.subarray(0, bytes.length - 64));
    await rejects(() => run(model, LONG, { path }), /^FormatError: Cannot read /);
  });
});

/** Changes one bit of the byte in the middle of a tensor. */
async function flipBit(path: string, name: string) {
  const { offset, bytes } = (await readSafetensors(path)).records.get(name)!;
  const file = await Deno.readFile(path);
  file[offset + (bytes >> 1)]! ^= 0x10;
  await Deno.writeFile(path, file);
}

for (const name of ["tokens", "checksums", "keys.0", "values.4"]) {
  testWith(NEEDED, `a prompt cache with one bit changed in "${name}" is refused`, async () => {
    await withModel(async (model, path) => {
      await run(model, LONG, { path });
      await flipBit(path, name);
      await rejects(() => run(model, LONG, { path }), (error: Error) => {
        strictEqual(error.name, "FormatError");
        ok(
          /^Cannot use the prompt cache .*: the bytes of ".*" do not have their checksum$/.test(
            error.message,
          ),
          error.message,
        );
        return true;
      });
    });
  });
}

testWith(NEEDED, "a prompt cache of the version without checksums is made anew", async () => {
  await withModel(async (model, path) => {
    const wanted = await run(model, LONG, { path });
    const { metadata, records } = await readSafetensors(path);
    const old = [...records.values()].filter(({ name }) => name !== "checksums");
    await writeSafetensors(
      path,
      await Promise.all(old.map(async ({ name, dtype, shape, ...rest }) => ({
        name,
        dtype,
        shape,
        data: await readTensor({ name, dtype, shape, ...rest }),
      }))),
      {
        force: true,
        metadata: { ...Object.fromEntries(metadata), format: "llamero-prompt-cache-1" },
      },
    );
    const notes: string[] = [];
    const anew = await run(model, LONG, { path, notes });
    deepStrictEqual([anew.cachedTokens, notes.length], [0, 1]);
    ok(notes[0]!.includes("made anew: it is of another format"), String(notes));
    const again = await run(model, LONG, { path, notes });
    deepStrictEqual([again.cachedTokens, notes.length], [wanted.promptTokens - 1, 1]);
    deepStrictEqual([anew, again].map(plain), [wanted, wanted].map(plain));
  });
});

testWith(
  NEEDED,
  "a cache made for a text of another length is of no use to a growing base",
  async () => {
    await withModel(async (model, path) => {
      const { config } = model.decoder;
      const ropeScaling = {
        type: "dynamic",
        factor: 2,
        originalMaxPositionEmbeddings: 64,
      } as const;
      Object.assign(model.decoder, { config: { ...config, ropeScaling } });
      const cachedFor = async (context: number) => {
        const pieces = generate(model, {
          prompt: model.encodePrompt(LONG),
          maxTokens: 4,
          context,
          promptCache: await PromptCache.open(model, path),
        });
        for (;;) {
          const next = await pieces.next();
          if (next.done) return next.value.cachedTokens;
        }
      };
      strictEqual(await cachedFor(128), 0);
      ok(await cachedFor(128) > 0);
      strictEqual(await cachedFor(129), 0);
    });
  },
);
