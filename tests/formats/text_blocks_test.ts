import assert from "node:assert/strict";
import { FormatError } from "../../lib/base/errors.ts";
import { type DocumentKind, type ReadingPlace, textBlocks } from "../../lib/formats/text_blocks.ts";
import { bytesOf } from "./folder.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A text in parts of `size` bytes. */
async function* parts(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

interface Read {
  readonly texts: string[];
  /** Documents given before each place, and the place. */
  readonly places: readonly (readonly [number, ReadingPlace])[];
}

async function read(
  text: string | Uint8Array,
  options: { documents: DocumentKind; size?: number; field?: string; start?: ReadingPlace },
): Promise<Read> {
  const bytes = typeof text === "string" ? encoder.encode(text) : text;
  const stream = parts(bytes, options.size ?? bytes.length + 1);
  const texts: string[] = [];
  const places: (readonly [number, ReadingPlace])[] = [];
  let open: Uint8Array = new Uint8Array();
  for await (const block of textBlocks({ name: "x", stream }, { ...options, checked: true })) {
    let start = 0;
    for (const end of Array.from(block.ends)) {
      texts.push(decoder.decode(bytesOf(open, block.bytes.subarray(start, end))));
      open = new Uint8Array();
      start = end;
    }
    open = bytesOf(open, block.bytes.slice(start));
    if (block.last !== true) places.push([texts.length, block.resume]);
  }
  assert.equal(open.length, 0, "text is left behind the last document");
  return { texts, places };
}

const CASES: readonly (readonly [DocumentKind, string, readonly string[]])[] = [
  ["file", "a\n\nbé\n", ["a\n\nbé\n"]],
  ["file", "", [""]],
  ["paragraph", "", []],
  ["paragraph", "\n \n\t\r\n", []],
  ["paragraph", "a\nb\n\nc", ["a\nb", "c"]],
  ["paragraph", "\n\n  a \r\n\r\nbé日\n\n\n\nc\n\n", ["  a \r", "bé日", "c"]],
  ["jsonl", "", []],
  ["jsonl", '{"text":"a"}\n\n  \n{"text":"b\\n日","id":1}\r\n{"text":""}', ["a", "b\n日", ""]],
  ["jsonl", '\ufeff{"text":"a"}\n', ["a"]],
];

Deno.test("documents are the same in parts of any size", async () => {
  for (const [documents, text, wanted] of CASES) {
    for (const size of [1, 2, 3, 5, 1000]) {
      const { texts } = await read(text, { documents, size });
      assert.deepEqual(texts, wanted, `${documents} ${JSON.stringify(text)} by ${size}`);
    }
  }
});

Deno.test("reading goes on at every place that it gave", async () => {
  for (const [documents, text, wanted] of CASES) {
    for (const size of [1, 3, 8]) {
      const { places } = await read(text, { documents, size });
      for (const [before, start] of places) {
        const { texts } = await read(text, { documents, start });
        assert.deepEqual(texts, wanted.slice(before), `${documents} ${JSON.stringify(text)}`);
      }
    }
  }
});

Deno.test("errors say line and byte, also when reading went on in the middle", async () => {
  const good = '{"text":"a"}\n';
  const lines: [string, RegExp][] = [
    ["{", /line 3 is no JSON/],
    ["[1]", /line 3 is no JSON object/],
    ["null", /line 3 is no JSON object/],
    ['{"txt":"a"}', /line 3 has no text: the field "text" is not there/],
    ['{"text":null}', /line 3 has no text: the field "text" is no string/],
  ];
  const start = { byte: good.length, line: 1 };
  for (const [line, message] of lines) {
    const text = `${good}${good}${line}\n${good}`;
    for (const place of [{ byte: 0, line: 0 }, start]) {
      await assert.rejects(
        read(text, { documents: "jsonl", start: place }),
        (error: FormatError) => {
          assert.match(error.message, message);
          assert.equal(error.offset, 2 * good.length);
          return error instanceof FormatError;
        },
      );
    }
  }
  const proto = '{"__proto__":{"text":"a"}}';
  await assert.rejects(read(proto, { documents: "jsonl" }), /the field "text" is not there/);
});

Deno.test("bytes that are not UTF-8 are refused with their offset, wherever parts end", async () => {
  const bad: [Uint8Array, number][] = [
    [bytesOf("ab", [0xff], "c"), 2],
    [bytesOf("é", [0xe2, 0x96], "c"), 2],
    [bytesOf("é", [0xe2, 0x96]), 2],
    [bytesOf("abc日", [0xc3]), 6],
    [bytesOf("日", [0x80], "abc"), 3],
    [bytesOf([0xed, 0xa0, 0x80]), 0],
    [bytesOf("🦙", [0xf0, 0x9f, 0xa6], "🦙"), 4],
  ];
  for (const [bytes, offset] of bad) {
    for (const documents of ["file", "paragraph"] as const) {
      for (const size of [1, 2, 3, 4, 5, 100]) {
        await assert.rejects(read(bytes, { documents, size }), (error: FormatError) => {
          assert.equal(error.offset, offset, `${bytes} by ${size}: ${error.message}`);
          return error instanceof FormatError;
        });
      }
    }
    await assert.rejects(read(bytes, { documents: "jsonl" }), FormatError);
  }
});
