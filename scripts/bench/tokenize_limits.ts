/**
 * What of the tokenizers is measured against a limit instead of a peer: decoding, loading, the worst
 * inputs, and a second thread.
 *
 * @module
 */

import { openBackend } from "../../lib/backend/open.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled.ts";
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

/** Letters in no order; the same ones each time. */
function randomLetters(count: number): string {
  let state = 7;
  const bytes = Uint8Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return 97 + (state >>> 0) % 26;
  });
  return new TextDecoder().decode(bytes);
}

/** Inputs that make encoders slow which take more than linear time somewhere. */
const WORST: Readonly<Record<string, (bytes: number) => string>> = {
  "a": (bytes) => "a".repeat(bytes),
  "^": (bytes) => "^".repeat(bytes),
  "-": (bytes) => "-".repeat(bytes),
  "0": (bytes) => "0".repeat(bytes),
  "spaces": (bytes) => " ".repeat(bytes),
  "tabs": (bytes) => "\t".repeat(bytes),
  "newlines": (bytes) => "\n".repeat(bytes),
  "random letters": randomLetters,
  "no spaces": (bytes) => "thequickbrownfoxjumpsoverthelazydog".repeat(bytes / 35),
  "ideographs": (bytes) => "日本語".repeat(bytes / 9),
  "emoji": (bytes) => "😀".repeat(bytes / 4),
};

/** Decoded MB/s of each text, best of nine. */
export function decodeRates(
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
export function worstCases(tokenizer: CompiledTokenizer): Map<string, [number, number]> {
  return new Map(
    Object.entries(WORST).map(([name, make]) => {
      const [one, ten] = [make(MEGABYTE), make(10 * MEGABYTE)];
      const short = fastest(5, () => tokenizer.encode(one));
      return [name, [short, fastest(2, () => tokenizer.encode(ten)) / short]];
    }),
  );
}

/** Milliseconds from a file to a tokenizer that encodes, best of five. */
export async function loadTime(file: string, backend: "native" | "wasm"): Promise<number> {
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

/** How many times as fast two threads encode as one. */
export async function secondThread(
  file: string,
  text: string,
  backend: "native" | "wasm",
): Promise<number> {
  const times: number[] = [];
  for (const threads of [1, 2]) {
    const opened = await openBackend({ backend, threads });
    const tokenizer = await openTokenizer(file, { backend: opened });
    const bytes = new TextEncoder().encode(text.repeat(4));
    times.push(fastest(7, () => tokenizer.encode(bytes)));
    opened.close();
  }
  return times[0]! / times[1]!;
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
      const threads = await secondThread(file, Object.values(texts).join(""), backend);
      console.log(
        `\n${name}, ${backend}: loads in ${load.toFixed(0)} ms, two threads are ` +
          `${threads.toFixed(2)} times as fast`,
      );
      for (const [text, rate] of decodeRates(tokenizer, texts)) {
        console.log(`  decode ${text.padEnd(20)}${rate.toFixed(0).padStart(6)} MB/s`);
      }
      for (const [input, [milliseconds, times]] of worstCases(tokenizer)) {
        console.log(
          `  1 MB of ${input.padEnd(19)}${milliseconds.toFixed(1).padStart(6)} ms, ` +
            `10 MB ${times.toFixed(1)} times as long`,
        );
      }
      opened.close();
    }
  }
}
