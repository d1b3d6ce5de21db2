import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { FormatError, Interrupted } from "../../lib/base/errors.ts";
import { packTexts } from "../../lib/data/pack.ts";
import type { PackOptions } from "../../lib/data/pack_options.ts";
import { IndexedDataset } from "../../lib/formats/indexed_dataset.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { BYTE_DEFAULTS } from "../../lib/tokenizer/train/options.ts";
import { trainedFiles } from "../../lib/tokenizer/train/files.ts";
import { trainTokenizer } from "../../lib/tokenizer/train/train.ts";
import { temporaryFolder } from "../formats/folder.ts";
import { onBackends, type OpenForTest } from "../on_backends.ts";
import { streamed, trainOn } from "../tokenizer/train/texts.ts";

const SOME = "the cat sat on the mat — Ωmega 日本語 and the rest of it\n".repeat(20);

interface Room extends Disposable {
  readonly path: string;
  readonly tokenizer: CompiledTokenizer;
}

/** A folder with a tokenizer that was trained for the test. */
async function roomOf({ backend }: OpenForTest, kind: "spm" | "bytes"): Promise<Room> {
  const folder = temporaryFolder();
  const trained = kind === "spm"
    ? await trainOn(backend, SOME, { byteFallback: true, vocabSize: 320, addDummyPrefix: true })
    : await trainTokenizer([streamed(SOME)], {
      backend,
      training: { ...BYTE_DEFAULTS, vocabSize: 290 },
    });
  for (const { name, bytes } of trainedFiles(trained)) {
    writeFileSync(join(folder.path, name), bytes);
  }
  const tokenizer = await openTokenizer(join(folder.path, "tokenizer.model"), { backend });
  return { path: folder.path, tokenizer, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

/** Packs files of these contents; gives the documents as token ids. */
async function packed(
  room: Room,
  contents: readonly (string | Uint8Array)[],
  options: Partial<PackOptions> = {},
): Promise<number[][]> {
  const inputs = contents.map((content, i) => {
    const name = join(room.path, `input-${i}`);
    writeFileSync(name, content);
    return { name };
  });
  const prefix = join(room.path, "out");
  const force = true;
  await packTexts(inputs, {
    tokenizer: room.tokenizer,
    documents: "file",
    prefix,
    force,
    ...options,
  });
  return documentsOf(prefix);
}

function documentsOf(prefix: string): number[][] {
  using dataset = IndexedDataset.open(prefix);
  return Array.from({ length: dataset.documentCount }, (_, d) => {
    const ids: number[] = [];
    const [from, to] = [dataset.documents[d]!, dataset.documents[d + 1]!].map(Number);
    for (let sequence = from!; sequence < to!; sequence++) {
      const target = new Int32Array(dataset.lengths[sequence]!);
      dataset.read(sequence, { offset: 0, target });
      ids.push(...target);
    }
    return ids;
  });
}

for (const kind of ["spm", "bytes"] as const) {
  onBackends(`documents hold what encoding each of them gives: ${kind}`, async ({ open }) => {
    using opened = await open(2);
    using room = await roomOf(opened, kind);
    const texts = ["the cat\n\nsat", "", "日本語 Ω\n", "  \n", "the mat"];
    const expected = texts.map((text) => [...room.tokenizer.encode(text)]);
    const json = texts.map((text) => JSON.stringify({ text })).join("\n");
    deepStrictEqual(await packed(room, texts), expected);
    deepStrictEqual(await packed(room, [json], { documents: "jsonl" }), expected);
    const { bosId, eosId } = room.tokenizer;
    deepStrictEqual(
      await packed(room, texts, { bos: true, eos: true }),
      expected.map((ids) => ids.length === 0 ? [] : [bosId, ...ids, eosId]),
    );
    const paragraphs = "\n\nthe cat\r\n  sat\n \t\nthe mat\n\n\n日本語";
    deepStrictEqual(
      await packed(room, [paragraphs, paragraphs], { documents: "paragraph" }),
      ["the cat\r\n  sat", "the mat", "日本語", "the cat\r\n  sat", "the mat", "日本語"]
        .map((text) => [...room.tokenizer.encode(text)]),
    );
  });
}

onBackends("plain, gzip and Zstandard inputs give the same dataset", async ({ open }) => {
  using opened = await open();
  using room = await roomOf(opened, "spm");
  const bytes = new TextEncoder().encode(SOME);
  const plain = await packed(room, [bytes]);
  deepStrictEqual(await packed(room, [gzipSync(bytes)]), plain);
  deepStrictEqual(await packed(room, [zstdCompressSync(bytes)]), plain);
});

onBackends("a document longer than memory should hold is encoded as a whole", async ({ open }) => {
  using opened = await open(2);
  using room = await roomOf(opened, "bytes");
  const text = SOME.repeat(1 + Math.ceil(3e6 / SOME.length));
  const [ids] = await packed(room, [text], { eos: true, longest: 1e5, batch: 1e6 });
  const expected = [...room.tokenizer.encode(text), room.tokenizer.eosId!];
  strictEqual(ids!.length, expected.length);
  ok(ids!.every((id, i) => id === expected[i]));
  using dataset = IndexedDataset.open(join(room.path, "out"));
  strictEqual(dataset.sequences, Math.ceil(expected.length / 1e5));
  strictEqual(dataset.documentCount, 1);
});

/** Hashes of the three outputs. */
function outputs(prefix: string): string[] {
  const hash = (end: string): string =>
    createHash("sha256").update(readFileSync(prefix + end)).digest("hex");
  return [".bin", ".idx", ".json"].map(hash);
}

onBackends("a packing stopped anywhere goes on to the same bytes", async ({ open }) => {
  using opened = await open();
  using room = await roomOf(opened, "spm");
  const lines = Array.from({ length: 400_000 }, (_, i) => `{"text":"the ${i} cat"}`);
  const cases: [string, Partial<PackOptions>][] = [
    [lines.join("\n"), { documents: "jsonl" }],
    [lines.join("\n\n"), { documents: "paragraph" }],
    [lines.join("\n"), { documents: "file" }],
  ];
  for (const [text, options] of cases) {
    const name = join(room.path, "text");
    const stored = options.documents === "jsonl" ? gzipSync(text, { level: 1 }) : text;
    writeFileSync(name, stored);
    const inputs = [{ name }, { name }];
    const base = {
      tokenizer: room.tokenizer,
      keepEvery: 1e6,
      batch: 1e5,
      force: true,
      eos: true,
    } as const;
    const pack = (prefix: string, more: Partial<PackOptions>) =>
      packTexts(inputs, { ...base, documents: "file", ...options, ...more, prefix });
    const whole = join(room.path, "whole");
    await pack(whole, {});
    const parts = join(room.path, "parts");
    let stops = 0;
    for (;;) {
      const controller = new AbortController();
      let blocks = 0;
      try {
        const { resumed } = await pack(parts, {
          force: false,
          signal: controller.signal,
          // Stops at another block each time.
          progress: () => ++blocks > 2 + stops && controller.abort(new Interrupted("stopped")),
        });
        ok(resumed);
        break;
      } catch (thrown) {
        ok(thrown instanceof Interrupted, String(thrown));
        match(thrown.message, /what is packed is kept in ".*parts.packing"/);
        ok(!existsSync(`${parts}.bin`));
        stops++;
      }
    }
    ok(stops >= 2, `${stops} stops`);
    deepStrictEqual(outputs(parts), outputs(whole), options.documents!);
    ok(!existsSync(`${parts}.packing`));
    for (const end of [".bin", ".idx", ".json"]) Deno.removeSync(parts + end);
  }
});

onBackends("a packing of something else is not gone on with", async ({ open }) => {
  using opened = await open();
  using room = await roomOf(opened, "spm");
  const name = join(room.path, "text");
  writeFileSync(name, SOME);
  const prefix = join(room.path, "out");
  const base = { tokenizer: room.tokenizer, prefix, documents: "file" } as const;
  const signal = AbortSignal.abort(new Interrupted("stopped"));
  await rejects(packTexts([{ name }], { ...base, signal }), Interrupted);
  ok(existsSync(`${prefix}.packing`));
  await rejects(packTexts([{ name }], { ...base, eos: true }), /other texts, options or another/);
  utimesSync(name, 1, 1);
  await rejects(packTexts([{ name }], base), /other texts, options or another tokenizer/);
  const { resumed } = await packTexts([{ name }], { ...base, force: true });
  strictEqual(resumed, false);
  deepStrictEqual(documentsOf(prefix), [[...room.tokenizer.encode(SOME)]]);
});

onBackends("what is finished but for its names gets them", async ({ open }) => {
  using opened = await open();
  using room = await roomOf(opened, "spm");
  const name = join(room.path, "text");
  writeFileSync(name, SOME);
  const prefix = join(room.path, "out");
  const base = { tokenizer: room.tokenizer, prefix, documents: "file" } as const;
  // A folder in the place of an output: everything is packed, and the last step fails.
  const late = (): void => Deno.mkdirSync(`${prefix}.idx`, { recursive: true });
  await rejects(packTexts([{ name }], { ...base, progress: late }), /it is a folder/);
  Deno.removeSync(`${prefix}.idx`);
  ok(existsSync(`${prefix}.packing`));
  strictEqual((await packTexts([{ name }], base)).resumed, true);
  deepStrictEqual(documentsOf(prefix), [[...room.tokenizer.encode(SOME)]]);
  ok(!existsSync(`${prefix}.packing`));
});

onBackends(
  "texts that cannot be packed are refused with their place, and nothing stays",
  async ({ open }) => {
    using opened = await open();
    using room = await roomOf(opened, "spm");
    const bad = Uint8Array.of(97, 98, 0xe2, 0x96, 10);
    const cut = gzipSync(SOME).subarray(0, -9);
    const before = () => readdirSync(room.path).filter((name) => name.startsWith("out"));
    const cases: [Uint8Array | string, Partial<PackOptions>, RegExp, number | undefined][] = [
      [bad, {}, /input-0": byte 2 \(0xe2\) is not UTF-8/, 2],
      [bad, { documents: "paragraph" }, /byte 2 \(0xe2\) is not UTF-8/, 2],
      [cut, {}, /Cannot decompress/, undefined],
      [
        '{"text":"a"}\n{"txt":"b"}\n',
        { documents: "jsonl" },
        /line 2 has no text: the field "text"/,
        13,
      ],
      ['{"text":"a"}\n\n{"text":', { documents: "jsonl" }, /line 3 is no JSON/, 14],
      ['{"text":7}', { documents: "jsonl" }, /"text" is no string/, 0],
    ];
    for (const [content, options, message, offset] of cases) {
      await rejects(packed(room, [content], options), (error: FormatError) => {
        ok(error instanceof FormatError);
        match(error.message, message);
        strictEqual(error.offset, offset);
        return true;
      });
      deepStrictEqual(before(), []);
    }
    const replaced = await packed(room, [bad], { invalid: "replace" });
    deepStrictEqual(replaced, [[...room.tokenizer.encode(bad, { invalid: "replace" })]]);
  },
);

onBackends("the manifest says what was packed, and the threads are not in it", async ({ open }) => {
  const found: string[][] = [];
  for (const threads of [1, 2, 3]) {
    using opened = await open(threads);
    using room = await roomOf(opened, "bytes");
    const lines = Array.from(
      { length: 4_000 },
      (_, i) => JSON.stringify({ text: `${i} ${SOME}` }),
    );
    await packed(room, [lines.join("\n")], { documents: "jsonl", eos: true });
    const prefix = join(room.path, "out");
    const manifest = JSON.parse(readFileSync(`${prefix}.json`, "utf8"));
    strictEqual(manifest.documents, 4_000);
    strictEqual(manifest.tokens * 2, statSync(`${prefix}.bin`).size);
    const text = lines.reduce(
      (sum, line) => sum + new TextEncoder().encode(JSON.parse(line).text).length,
      0,
    );
    strictEqual(manifest.text_bytes, text);
    strictEqual(manifest.bytes_per_token, text / manifest.tokens);
    found.push(outputs(prefix).slice(0, 2));
  }
  deepStrictEqual(found[1], found[0]);
  deepStrictEqual(found[2], found[0]);
});
