import { strictEqual, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import { PrecompiledRules } from "../../lib/tokenizer/precompiled.ts";
import { compileRules } from "../../lib/tokenizer/train/compile_rules.ts";

const url = new URL("../golden/tokenizer/precompiled.json", import.meta.url);
const { rules, digest } = JSON.parse(await Deno.readTextFile(url)) as {
  readonly rules: readonly (readonly [string, string])[];
  readonly digest: string;
};

/** Ideographs, Hangul syllables and characters for private use are all alike. */
const isAlike = (code: number): boolean =>
  (code >= 0x3400 && code < 0xa000) || (code >= 0xac00 && code < 0xf900) ||
  (code >= 0x20000 && code < 0xe0000);

Deno.test("every character stands in the clusters of huggingface/tokenizers", () => {
  const own = new PrecompiledRules(compileRules(new Map(rules)));
  const hash = createHash("sha256");
  for (let code = 1; code < 0xe1000; code++) {
    if (isAlike(code)) continue;
    const c = String.fromCodePoint(code);
    const texts = [
      ...[`a${c}`, `\u0600${c}`, `${c}a\u0301`, `${c}\u1161\u0301`, `${c}\u11a8\u0301`],
      ...[`\u1161${c}\u0301`, `\u11a8${c}\u0301`, `${c}\u200d\u00a9\u0301`],
      ...[`\u00a9${c}\u200d\u00a9\u0301`, `${c}\u094d\u0915\u0301`, `\u0915${c}\u0915\u0301`],
      `\u0915\u094d${c}\u0915\u0301`,
    ];
    for (const text of texts) hash.update(`${own.normalize(text)}\n`);
  }
  strictEqual(hash.digest("hex"), digest);
});

Deno.test("a short cluster becomes what its first rule says, a long one character by character", () => {
  const own = new PrecompiledRules(compileRules(new Map([["ﬁ", "fi"], ["ﬁx", "no"], ["x", ""]])));
  // Five bytes, and seven.
  strictEqual(own.normalize("ﬁ\u0301"), "fi");
  strictEqual(own.normalize("ﬁ\u0301\u0301"), "fi\u0301\u0301");
  strictEqual(own.normalize("ﬁxx\0x"), "fi\0");
});

Deno.test("rules that are cut off are refused", () => {
  const whole = compileRules(new Map([["a", "b"]]));
  for (const length of [0, 3, 4, 9]) {
    throws(() => new PrecompiledRules(whole.subarray(0, length)), RangeError, String(length));
  }
});
