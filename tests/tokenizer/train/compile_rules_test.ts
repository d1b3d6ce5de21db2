import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import {
  compileRules,
  parseRules,
  type Rules,
} from "../../../lib/tokenizer/train/compile_rules.ts";

const encoder = new TextEncoder();

/** What a compiled table replaces at the beginning of a text, by the definition of Darts-clone's arrays. */
function longest(blob: Uint8Array, text: string): [length: number, to: string] | undefined {
  const view = new DataView(blob.buffer);
  const bytes = view.getUint32(0, true);
  const unit = (i: number): number => 4 * i < bytes ? view.getUint32(4 + 4 * i, true) : 0x8000_0000;
  const offset = (u: number): number => (u >>> 10) << ((u & 0x200) >> 6);
  const texts = blob.subarray(4 + bytes);
  let at = offset(unit(0));
  let found: [number, string] | undefined;
  for (const [i, byte] of encoder.encode(text).entries()) {
    at ^= byte;
    const u = unit(at);
    if (((u & 0x8000_00ff) >>> 0) !== byte) break;
    at ^= offset(u);
    if ((u & 0x100) === 0) continue;
    const start = unit(at) & 0x7fff_ffff;
    found = [i + 1, new TextDecoder().decode(texts.subarray(start, texts.indexOf(0, start)))];
  }
  return found;
}

Deno.test("every rule is found, the longest first, and nothing else", () => {
  const rules = new Map<string, string>();
  for (let i = 0; i < 3000; i++) {
    const code = 0x80 + (i * 7919) % 0xd000;
    rules.set(
      String.fromCodePoint(code) + (i % 3 === 0 ? "x" : ""),
      String.fromCodePoint(code + 1),
    );
  }
  rules.set("ab", "X").set("abc", "").set("a", "abc").set("🦙", "l");
  const blob = compileRules(rules);
  for (const [from, to] of rules) {
    deepStrictEqual(longest(blob, from), [encoder.encode(from).length, to]);
  }
  deepStrictEqual(longest(blob, "abd"), [2, "X"]);
  deepStrictEqual(longest(blob, "abcd"), [3, ""]);
  for (const text of ["", "\0", "b", "\0a", "🦘", "\u{10ffff}"]) {
    strictEqual(longest(blob, text), undefined);
  }
  deepStrictEqual(longest(blob, "a\0"), [1, "abc"]);
});

Deno.test("no rules change nothing", () => {
  strictEqual(longest(compileRules(new Map()), "a"), undefined);
});

Deno.test("rules are code points, a tab, and what they become", () => {
  const text = "41 0x302\tC2\tcomment\r\n\nAD\n1F999\t6C 6C\n41 0x302\tC3";
  const wanted: Rules = new Map([["A\u0302", "\u00c3"], ["\u00ad", ""], ["🦙", "ll"]]);
  deepStrictEqual(parseRules(text, "x"), wanted);
  for (const line of ["\t41", "zz\t41", "41\tzz", "D800\t41", "110000", "0", "41\t0", "4 1x"]) {
    throws(() => parseRules(`41\t42\n${line}`, "x"), /rules "x": line 2 is no rule/, line);
  }
});
