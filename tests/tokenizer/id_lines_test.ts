import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { FormatError, LlameroError } from "../../lib/base/errors.ts";
import { encodeLines, type LineOptions } from "../../lib/tokenizer/id_lines.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { onBackends } from "../on_backends.ts";
import { KINDS, NEEDS_VECTORS, TEXTS, TOKENIZERS } from "./vectors.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const written = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

onBackends("lines become the ids that each gives alone, with any number of threads", async (on) => {
  using one = await on.open(1);
  using three = await on.open(3);
  const parts = ["tinyshakespeare.txt", "udhr-multilingual.txt", "runs-synthetic.txt"].map(
    (name) => Deno.readTextFileSync(join(TEXTS, name)).slice(0, 60_000).toWellFormed(),
  );
  const text = `\n\n${parts.join("\n")}</s><|eot_id|>\n\nno line end`;
  for (const file of KINDS) {
    for (const backend of [one, three]) {
      const tokenizer = await openTokenizer(join(TOKENIZERS, file), backend);
      const ways: LineOptions[] = [{}, { special: "parse", bos: true, eos: true }];
      for (const way of ways) {
        const alone = text.split("\n").map((line) => tokenizer.encode(line, way).join(" ") + "\n");
        const { bytes, lines } = tokenizer.encodeLines(utf8(text), way);
        strictEqual(lines, alone.length);
        strictEqual(written(bytes), alone.join(""), file);
        // The way of lines that the kernels do not take.
        const batch = encodeLines(tokenizer, { ...way, text: utf8(text) });
        deepStrictEqual(batch, { bytes, lines });
      }
      tokenizer.close();
    }
  }
}, NEEDS_VECTORS);

onBackends("a line end at the very end begins no line, and no text has no line", async (on) => {
  using opened = await on.open(2);
  const tokenizer = await openTokenizer(join(TOKENIZERS, KINDS[0]!), opened);
  const cases: [string, string, number][] = [
    ["", "", 0],
    ["\n", "\n", 1],
    ["Hello", "15043\n", 1],
    ["Hello\n", "15043\n", 1],
    ["\nHello\n\n", "\n15043\n\n", 3],
    ["Hello\r\n", "15043 30004\n", 1],
  ];
  for (const [text, wanted, count] of cases) {
    const { bytes, lines } = tokenizer.encodeLines(utf8(text));
    deepStrictEqual([written(bytes), lines], [wanted, count]);
  }
  tokenizer.close();
}, NEEDS_VECTORS);

onBackends("a line that threads share gives the ids that one thread gives", async (on) => {
  using one = await on.open(1);
  using two = await on.open(2);
  const words = "sharing a line out among threads ".repeat(40_000);
  const text = utf8(`first\n${words}\nlast\n`);
  for (const file of KINDS) {
    const [alone, together] = await Promise.all(
      [one, two].map((backend) => openTokenizer(join(TOKENIZERS, file), backend)),
    );
    const ids = (line: string): string => `${alone!.encode(line).join(" ")}\n`;
    const wanted = ids("first") + ids(words) + ids("last");
    strictEqual(written(together!.encodeLines(text).bytes), wanted);
    alone!.close();
    together!.close();
  }
}, NEEDS_VECTORS);

onBackends("what is refused in a line is named by its byte in the file", async (on) => {
  using opened = await on.open(2);
  for (const file of KINDS) {
    const tokenizer = await openTokenizer(join(TOKENIZERS, file), opened);
    const line = utf8(`${"line\n".repeat(100_000)}`);
    const text = new Uint8Array(line.length + 6);
    text.set(line);
    text.set([0x61, 0x0a, 0xe3, 0x81, 0x0a, 0x62], line.length);
    const at = line.length + 2;
    throws(() => tokenizer.encodeLines(text, { offset: 1000 }), (error: unknown) => {
      strictEqual((error as FormatError).offset, 1000 + at);
      return error instanceof FormatError;
    });
    throws(() => encodeLines(tokenizer, { text, offset: 1000 }), { offset: 1000 + at });
    const replaced = tokenizer.encodeLines(text, { invalid: "replace" });
    strictEqual(replaced.lines, 100_003);
    tokenizer.close();
  }
}, NEEDS_VECTORS);

onBackends("a name of a token is refused in a line, not across two", async (on) => {
  using opened = await on.open(2);
  const tokenizer = await openTokenizer(join(TOKENIZERS, "llama3/tokenizer.model"), opened);
  const refuse = { special: "refuse", offset: 10 } as const;
  strictEqual(tokenizer.encodeLines(utf8("<|eot\n_id|>\n"), refuse).lines, 2);
  const batch = { bytes: utf8("<|eot_id|>"), ends: Uint32Array.of(5, 10) };
  strictEqual(tokenizer.encodeBatch(batch, refuse).counts.length, 2);
  throws(() => tokenizer.encodeLines(utf8("a\nb <|eot_id|>\n"), refuse), (error: unknown) => {
    return error instanceof LlameroError && /"<\|eot_id\|>" at byte 14,/.test(error.message);
  });
  tokenizer.close();
}, NEEDS_VECTORS);
