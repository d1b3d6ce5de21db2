import { strictEqual } from "node:assert/strict";
import { replaceStep } from "../../lib/tokenizer/replace_step.ts";

function step(kind: "String" | "Regex", source: string, content: string) {
  return replaceStep(
    new Map<string, never>(Object.entries({
      type: "Replace",
      pattern: new Map([[kind, source]]),
      content,
    }) as [string, never][]),
  );
}

/** A text after a step. */
function replaced(text: string, kind: "String" | "Regex", source: string, content: string): string {
  const { pattern } = step(kind, source, content)!;
  return text.replace(pattern, () => content);
}

Deno.test("a text is replaced as it stands, by a text as it stands", () => {
  strictEqual(replaced("a.b.ab", "String", ".", "$&"), "a$&b$&ab");
  strictEqual(replaced("[a]", "String", "[a]", ""), "");
});

Deno.test("patterns of characters, classes, white space and counts mean what they do in Oniguruma", () => {
  // The four results are those of normalizers.Replace(Regex(…), …) of tokenizers 0.23.2.
  strictEqual(replaced("a  b c   ", "Regex", " {2,}", "_"), "a_b c_");
  strictEqual(replaced("\u0085\u3000a\ufeff", "Regex", "\\s+", "_"), "_a\ufeff");
  strictEqual(replaced("  a\n  b", "Regex", "\\A +", ""), "a\n  b");
  strictEqual(replaced("abcab.", "Regex", "[ab]{2}\\.", "x"), "abcx");
});

Deno.test("other patterns are not taken for known", () => {
  for (
    const source of ["a*", "a?", "(a)", "a|b", "^a", "a$", "\\d", "\\p{L}", ".", "[a-z]", "a++", ""]
  ) {
    strictEqual(step("Regex", source, "x"), undefined, source);
  }
});
