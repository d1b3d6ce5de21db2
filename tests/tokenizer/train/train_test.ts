import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { ConfigError, FormatError, Interrupted } from "../../../lib/base/errors.ts";
import { pieceText } from "../../../lib/formats/piece_list.ts";
import { BYTE_DEFAULTS, TRAINING_DEFAULTS } from "../../../lib/tokenizer/train/options.ts";
import { trainTokenizer } from "../../../lib/tokenizer/train/train.ts";
import { onBackends } from "../../on_backends.ts";
import { pieceTexts, PLAIN, streamed, trainOn } from "./texts.ts";

const SOME = "the cat sat on the mat\nthe dog sat on the log\n".repeat(3);

function refused(promise: Promise<unknown>, message: RegExp, hint?: RegExp): Promise<void> {
  return rejects(promise, (error: Error & { hint?: string }) => {
    match(error.message, message);
    if (hint !== undefined) match(error.hint ?? "", hint);
    return true;
  });
}

onBackends("meta pieces come first, then what was learned, then the alphabet", async ({ open }) => {
  using opened = await open();
  // The list is what spm_train 0.1.97 gives for these three lines with the same options.
  const trained = await trainOn(opened.backend, "abc\nabc\nde\nde\n", { vocabSize: 11 });
  deepStrictEqual(
    pieceTexts(trained),
    ["<unk>", "<s>", "</s>", "ab", "de", "abc", "a", "b", "c", "d", "e"],
  );
  deepStrictEqual([...trained.pieces.types], [2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1]);
  deepStrictEqual([...trained.pieces.scores], [0, 0, 0, -0, -1, -2, -3, -4, -5, -6, -7]);
});

onBackends(
  "a vocabulary too large names the largest possible, which then works",
  async ({ open }) => {
    using opened = await open();
    for (const training of [{ ...PLAIN, hardVocabLimit: true }, BYTE_DEFAULTS]) {
      const train = (vocabSize: number, hardVocabLimit = true) =>
        trainTokenizer([streamed(SOME)], {
          backend: opened.backend,
          training: { ...training, vocabSize, hardVocabLimit },
        });
      let largest = 0;
      await rejects(train(5000), (error: Error & { hint?: string }) => {
        match(error.message, /the vocabulary size is 5,000, and the text allows [\d,]+ at most/);
        largest = Number(/--vocab-size (\d+)/.exec(error.hint!)![1]);
        return true;
      });
      strictEqual((await train(largest)).pieces.types.length, largest);
      await rejects(train(largest + 1));
      strictEqual((await train(5000, false)).pieces.types.length, largest);
    }
  },
);

onBackends("a vocabulary too small for the alphabet is refused", async ({ open }) => {
  using opened = await open();
  await refused(
    trainOn(opened.backend, SOME, { vocabSize: 10 }),
    /the vocabulary size is 10, and the 1\d characters of the text and 3 symbols and bytes need 1\d/,
    /--vocab-size.*--character-coverage/,
  );
});

onBackends("texts without anything to learn are refused", async ({ open }) => {
  using opened = await open();
  const train = (text: string, options = {}) => trainOn(opened.backend, text, options);
  await refused(train(""), /the text is empty/);
  await refused(train("\n\n\n"), /the text is empty/);
  await refused(train("   \n  ", { removeExtraWhitespaces: true }), /the text is empty/);
  await refused(train("▅ here\n"), /all lines were left out \(0 too long, 1 with U\+2585\)/);
  await refused(
    train("x".repeat(50), { maxSentenceLength: 10 }),
    /all lines were left out \(1 too long/,
    /--max-sentence-length/,
  );
  await refused(
    trainTokenizer([streamed("")], { backend: opened.backend, training: BYTE_DEFAULTS }),
    /the text is empty/,
  );
  await refused(
    trainTokenizer([], { backend: opened.backend, training: PLAIN }),
    /the text is empty/,
  );
});

onBackends(
  "bytes that are not UTF-8 are refused with their place in the file",
  async ({ open }) => {
    using opened = await open();
    const bad = Uint8Array.of(0x61, 0xe2, 0x96);
    for (const training of [PLAIN, BYTE_DEFAULTS]) {
      const train = (...parts: (string | Uint8Array)[]) =>
        trainTokenizer([streamed("fine"), streamed(...parts)], {
          backend: opened.backend,
          training,
        });
      for (
        const [parts, offset] of [
          [["abc", Uint8Array.of(0xff)], 3],
          [["abc", bad, "def"], 4],
          [["abc", bad], 4],
          [[SOME, bad.subarray(0, 2), bad.subarray(2), "x"], SOME.length + 1],
        ] as const
      ) {
        await rejects(train(...parts), (error: FormatError) => {
          strictEqual(error.message, `Cannot train on "some text": byte ${offset} is not UTF-8`);
          strictEqual(error.offset, offset);
          return error instanceof FormatError;
        });
      }
    }
  },
);

onBackends("a required character must occur, and then is in the alphabet", async ({ open }) => {
  using opened = await open();
  const text = `${"a".repeat(999)}ж\n`;
  const options = { characterCoverage: 0.98, requiredChars: "ж", vocabSize: 9 };
  ok(pieceTexts(await trainOn(opened.backend, text, options)).includes("ж"));
  ok(
    !pieceTexts(await trainOn(opened.backend, text, { ...options, requiredChars: "" })).includes(
      "ж",
    ),
  );
  await refused(
    trainOn(opened.backend, text, { ...options, requiredChars: "жω" }),
    /the required character "ω" \(U\+03C9\) does not occur in the text/,
  );
});

onBackends("an id behind the last piece is refused", async ({ open }) => {
  using opened = await open();
  await refused(
    trainOn(opened.backend, SOME, { vocabSize: 4000, padId: 3999 }),
    /the piece "<pad>" has the id 3999, and there are only \d+ pieces/,
  );
  const trained = await trainOn(opened.backend, SOME, { vocabSize: 20, padId: 19, unkId: 17 });
  deepStrictEqual([pieceTexts(trained)[19], pieceTexts(trained)[17]], ["<pad>", "<unk>"]);
});

onBackends("user-defined symbols are never learned across", async ({ open }) => {
  using opened = await open();
  const trained = await trainOn(opened.backend, "a<x>b a<x>b a<x>b a<x>b\n", {
    userDefinedSymbols: ["<x>"],
    vocabSize: 100,
  });
  const learned = pieceTexts(trained).slice(trained.meta.length);
  deepStrictEqual(learned.filter((piece) => /[<x>]/.test(piece)), []);
  strictEqual(trained.pieces.types[trained.meta.find(({ text }) => text === "<x>")!.id], 4);
});

onBackends("lines of JSON train as their texts do", async ({ open }) => {
  using opened = await open();
  const lines = SOME.trim().split("\n");
  const json = lines.map((text) => JSON.stringify({ id: 1, content: text })).join("\n");
  const training = { ...PLAIN, vocabSize: 30 };
  const plain = await trainTokenizer([streamed(SOME)], { backend: opened.backend, training });
  const trained = await trainTokenizer([streamed(json)], {
    backend: opened.backend,
    training,
    reading: { documents: "jsonl", field: "content" },
    record: { input: ["some text"] },
  });
  strictEqual(trained.model.toHex(), plain.model.toHex());
});

onBackends("no merge of bytes reaches from one document into the next", async ({ open }) => {
  using opened = await open();
  const json = `${JSON.stringify({ text: "ab" })}\n`.repeat(9);
  const trained = await trainTokenizer([streamed(json)], {
    backend: opened.backend,
    training: { ...BYTE_DEFAULTS, vocabSize: 300, hardVocabLimit: false },
    reading: { documents: "jsonl" },
  });
  const { pieces } = trained;
  deepStrictEqual(Array.from(pieces.types, (_, id) => pieceText(pieces, id)).slice(256), ["ab"]);
  deepStrictEqual(trained.meta.map(({ id }) => id), [257, 258]);
});

onBackends("training says how far it has come and ends when it is told to", async ({ open }) => {
  using opened = await open();
  const seen = new Set<string>();
  const controller = new AbortController();
  const text = Array.from(
    { length: 4000 },
    (_, i) => `w${(i * i % 977).toString(36).replace(/\d/g, (d) => "ghijklmnop"[+d]!)}`,
  ).join(" ");
  const train = (abort: boolean) =>
    trainTokenizer([streamed(text)], {
      backend: opened.backend,
      training: { ...TRAINING_DEFAULTS.llama, vocabSize: 600, maxSentenceLength: 1 << 20 },
      signal: controller.signal,
      progress: (progress) => {
        seen.add(progress.phase);
        if (abort && progress.phase === "learning") controller.abort(new Interrupted("enough"));
      },
    });
  strictEqual((await train(false)).pieces.types.length, 600);
  deepStrictEqual([...seen], ["reading", "learning"]);
  await rejects(train(true), Interrupted);
});

onBackends(
  "where spm_train's own choice depends on a hash table, that is said",
  async ({ open }) => {
    using opened = await open();
    // Two thousand words of which none comes twice: every pair is as good as another.
    const words = Array.from(
      { length: 2000 },
      (_, i) => String.fromCodePoint(0x4e00 + i, 0x5e00 + i),
    );
    const trained = await trainOn(opened.backend, words.join("\n"), { vocabSize: 4500 });
    strictEqual(trained.learning.ambiguousFrom, 0);
    const clear = await trainOn(opened.backend, SOME, { vocabSize: 40 });
    strictEqual(clear.learning.ambiguousFrom, undefined);
  },
);

Deno.test("options that cannot go together are refused before anything is read", async () => {
  const backend = undefined as never;
  await rejects(
    trainTokenizer([], { backend, training: { ...PLAIN, characterCoverage: 0.5 } }),
    ConfigError,
  );
});
