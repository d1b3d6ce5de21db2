/**
 * What of the tokenizers is measured against a limit instead of a peer: decoding, loading, the worst
 * inputs, and a second thread.
 *
 * @module
 */

import { openBackend } from "../../lib/backend/open.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";

const MEGABYTE = 1e6;

/** Milliseconds of the fastest of several calls. */
function fastest(calls: number, call: () => void): number {
  let best = Infinity;
  for (let i = 0; i < calls; i++) {
    const start = performance.now();
    call();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

/** Milliseconds over which a long text is encoded again and again. */
const LONG_ENOUGH = 900;

/**
 * Milliseconds of the fastest of the calls that fit in {@linkcode LONG_ENOUGH}, three at least. Results
 * of 40 MB lie in memory that nobody had before until V8 collects the first ones; a virtual machine
 * gets it from its host then, which takes twenty times as long as to clear it.
 */
function fastestOfLong(call: () => void): number {
  const start = performance.now();
  let best = fastest(3, call);
  while (performance.now() - start < LONG_ENOUGH) best = Math.min(best, fastest(1, call));
  return best;
}

/** Characters in no order; the same ones each time. */
function mixed(alphabet: string): (bytes: number) => string {
  return (bytes) => {
    let state = 7;
    const codes = Uint8Array.from({ length: bytes }, () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return alphabet.charCodeAt((state >>> 0) % alphabet.length);
    });
    return new TextDecoder().decode(codes);
  };
}

/** A text again and again. */
function repeated(text: string): (bytes: number) => string {
  const length = new TextEncoder().encode(text).length;
  return (bytes) => text.repeat(bytes / length);
}

/** English letters without anything between them. */
function lettersOf(english: string): (bytes: number) => string {
  const letters = english.replace(/[^A-Za-z]/g, "");
  return (bytes) => letters.repeat(Math.ceil(bytes / letters.length)).slice(0, bytes);
}

/**
 * Inputs that make encoders slow which take more than linear time somewhere, or which go through
 * what a run of equal characters can become: the slowest of some four hundred that were tried.
 */
function worstInputs(english: string): Readonly<Record<string, (bytes: number) => string>> {
  return {
    "a": repeated("a"),
    "^": repeated("^"),
    "-": repeated("-"),
    "0": repeated("0"),
    "spaces": repeated(" "),
    "tabs": repeated("\t"),
    "newlines": repeated("\n"),
    "random letters": mixed("abcdefghijklmnopqrstuvwxyz"),
    "common letters": mixed("etaoin"),
    "letters and spaces": mixed("abcdefghijklmnopqrstuvwxyz      "),
    "tabs and spaces": mixed("\t "),
    "dashes and equals": mixed("-="),
    "base64": mixed("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
    "no spaces": repeated("thequickbrownfoxjumpsoverthelazydog"),
    "English, no spaces": lettersOf(english),
    "ideographs": repeated("日本語"),
    "emoji": repeated("😀"),
  };
}

/** Decoded MB/s of each text, best of nine. */
function decodeRates(
  tokenizer: CompiledTokenizer,
  texts: Readonly<Record<string, string>>,
): Map<string, number> {
  return new Map(
    Object.entries(texts).map(([name, text]) => {
      const ids = tokenizer.encode(text);
      const bytes = new TextEncoder().encode(text).length;
      return [name, bytes / fastest(9, () => tokenizer.decode(ids)) / 1e3];
    }),
  );
}

/** Milliseconds for 1 MB of each of the worst inputs, and how many times as long 10 MB take. */
function worstCases(
  tokenizer: CompiledTokenizer,
  english: string,
): Map<string, [number, number]> {
  return new Map(
    Object.entries(worstInputs(english)).map(([name, make]) => {
      const [one, ten] = [make(MEGABYTE), make(10 * MEGABYTE)];
      const short = fastest(5, () => tokenizer.encode(one));
      return [name, [short, fastestOfLong(() => tokenizer.encode(ten)) / short]];
    }),
  );
}

/** Milliseconds from a file to a tokenizer that encodes, best of five. */
async function loadTime(file: string, backend: "native" | "wasm"): Promise<number> {
  let best = Infinity;
  for (let i = 0; i < 5; i++) {
    const opened = await openBackend({ backend, threads: 1 });
    const start = performance.now();
    const tokenizer = await openTokenizer(file, { backend: opened });
    tokenizer.encode("word");
    best = Math.min(best, performance.now() - start);
    opened.close();
  }
  return best;
}

/** Rounds in which one thread and two take turns. */
const TURNS = 9;

/**
 * How many times as fast two threads encode a text as one, a string or its bytes: the median over
 * rounds in which they take turns, so that what else the machine does meets both.
 */
async function secondThread(
  file: string,
  text: string | Uint8Array,
  backend: "native" | "wasm",
): Promise<number> {
  const opened = await Promise.all([1, 2].map((threads) => openBackend({ backend, threads })));
  const encoders = await Promise.all(
    opened.map((each) => openTokenizer(file, { backend: each })),
  );
  const factors = Array.from({ length: TURNS + 1 }, () => {
    const [one, two] = encoders.map((encoder) => fastest(1, () => encoder.encode(text)));
    return one! / two!;
  });
  opened.forEach((each) => each.close());
  // The first round warms up.
  return factors.slice(1).sort((a, b) => a - b)[TURNS >> 1]!;
}

/** Prints all of it for the given tokenizer files. */
export async function reportLimits(
  files: Readonly<Record<string, string>>,
  texts: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, file] of Object.entries(files)) {
    for (const backend of ["native", "wasm"] as const) {
      const opened = await openBackend({ backend, threads: 1 });
      const tokenizer = await openTokenizer(file, { backend: opened });
      const load = await loadTime(file, backend);
      const long = Object.values(texts).join("").repeat(4);
      const ofString = await secondThread(file, long, backend);
      const ofBytes = await secondThread(file, new TextEncoder().encode(long), backend);
      console.log(
        `\n${name}, ${backend}: loads in ${load.toFixed(0)} ms, two threads are ` +
          `${ofBytes.toFixed(2)} times as fast for bytes, ${ofString.toFixed(2)} for strings`,
      );
      for (const [text, rate] of decodeRates(tokenizer, texts)) {
        console.log(`  decode ${text.padEnd(20)}${rate.toFixed(0).padStart(6)} MB/s`);
      }
      for (const [input, [milliseconds, times]] of worstCases(tokenizer, texts["English"]!)) {
        console.log(
          `  1 MB of ${input.padEnd(19)}${milliseconds.toFixed(1).padStart(6)} ms, ` +
            `10 MB ${times.toFixed(1)} times as long`,
        );
      }
      opened.close();
    }
  }
}
