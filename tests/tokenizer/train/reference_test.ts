import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pieceCount, type PieceList, pieceText } from "../../../lib/formats/piece_list.ts";
import { parseSentencePieceModel } from "../../../lib/formats/sentencepiece_model.ts";
import { BYTE_DEFAULTS } from "../../../lib/tokenizer/train/options.ts";
import { trainTokenizer } from "../../../lib/tokenizer/train/train.ts";
import { FIXTURES } from "../../fixtures.ts";
import { onBackends } from "../../on_backends.ts";
import { readSpmCommand, SPM_TRAINED, TEXTS } from "./spm_command.ts";

const RANKS = join(FIXTURES, "tokenizer/bpe-trained");
const MIX = ["tinyshakespeare", "gutenberg-botchan", "wikitext2-test", "aozora-neko-ja"]
  .concat("udhr-multilingual").map((name) => join(TEXTS, `${name}.txt`));

const ignored = [SPM_TRAINED, TEXTS, RANKS].find((path) => !existsSync(path));
const ignoring = { ignored: ignored === undefined ? undefined : `no ${ignored}` };
const names = ignored === undefined
  ? readdirSync(SPM_TRAINED).filter((name) => name.endsWith(".cmd")).map((name) =>
    name.slice(0, -4)
  )
  : [];

/** Pieces, types and the bits of scores, in words that a failing test can show. */
function rows({ scores, types, ...pieces }: PieceList): string[] {
  const bits = new Uint32Array(scores.buffer, scores.byteOffset, scores.length);
  const count = pieceCount({ scores, types, ...pieces });
  return Array.from({ length: count }, (_, id) => {
    const text = pieceText({ scores, types, ...pieces }, id);
    return `${id} ${text} ${types[id]} ${bits[id]!.toString(16)}`;
  });
}

for (const name of names.sort()) {
  onBackends(`training gives spm_train's model byte for byte: ${name}`, async ({ open }) => {
    using opened = await open(2);
    const { input, training, record } = readSpmCommand(name);
    const trained = await trainTokenizer(input.map((file) => ({ name: join(TEXTS, file) })), {
      backend: opened.backend,
      training,
      record,
    });
    const expected = new Uint8Array(readFileSync(join(SPM_TRAINED, `${name}.model`)));
    const reference = parseSentencePieceModel(expected, name).pieces;
    deepStrictEqual(rows(trained.pieces), rows(reference));
    strictEqual(Buffer.compare(trained.model, expected), 0, "the files differ");
  }, ignoring);
}

for (
  const [name, inputs, vocabSize] of [
    ["shk-1024", MIX.slice(0, 1), 1024],
    ["shk-8192", MIX.slice(0, 1), 8192],
    ["mix-32000", MIX, 32000],
  ] as const
) {
  onBackends(`byte-level training gives the reference's ranks: ${name}`, async ({ open }) => {
    using opened = await open(2);
    const trained = await trainTokenizer(inputs.map((file) => ({ name: file })), {
      backend: opened.backend,
      training: { ...BYTE_DEFAULTS, vocabSize },
    });
    const expected = readFileSync(join(RANKS, `${name}.tiktoken`), "utf8");
    deepStrictEqual(new TextDecoder().decode(trained.model).split("\n"), expected.split("\n"));
  }, ignoring);
}

onBackends("the number of threads changes no byte of what is trained", async ({ open }) => {
  const { training } = readSpmCommand("mix-opts-uds-2000");
  const bytes = { ...BYTE_DEFAULTS, vocabSize: 1000 };
  const sample = { ...training, inputSentenceSize: 5000 };
  const models: string[][] = [];
  for (const threads of [1, 2, 3]) {
    using opened = await open(threads);
    const inputs = MIX.slice(0, 2).map((name) => ({ name }));
    const results: string[] = [];
    for (const one of [training, sample, bytes]) {
      const trained = await trainTokenizer(inputs, { backend: opened.backend, training: one });
      results.push(trained.model.toHex());
    }
    models.push(results);
  }
  strictEqual(new Set(models[0]).size, 3);
  strictEqual(models.every((model) => model.join() === models[0]!.join()), true);
}, ignoring);
