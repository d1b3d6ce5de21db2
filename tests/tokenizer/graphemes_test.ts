import { deepStrictEqual } from "node:assert/strict";
import { graphemeEnd } from "../../lib/tokenizer/graphemes.ts";

function clusters(text: string): string[] {
  const found: string[] = [];
  for (let at = 0, end = 0; at < text.length; at = end) {
    end = graphemeEnd(text, at);
    found.push(text.slice(at, end));
  }
  return found;
}

/** Clusters of texts in the manner of Unicode's GraphemeBreakTest.txt, by the rules that part them. */
const LINES: Readonly<Record<string, readonly string[]>> = {
  "GB3, GB4, GB5": ["\r\n", "a", "\n", "\u0308"],
  "GB6, GB7, GB8": ["\u1100\u1161\u11a8", "\uac00\u11a8", "\uac01\u11a8\u11a8", "\u1100"],
  "GB9, GB9a": ["a\u0308\u200d", "a\u0903", "b"],
  "GB9b": ["a", "\u0600b"],
  "GB9c": ["\u0915\u094d\u094d\u0924", "\u0915\u094d\u200d\u0924", "\u0915\u094d", "a", "\u0915"],
  "GB11": ["\u{1f6d1}\u200d\u{1f6d1}", "a\u200d", "\u{1f6d1}", "\u{1f476}\u{1f3ff}", "\u{1f476}"],
  "GB12, GB13": ["a", "\u{1f1e6}\u{1f1e7}", "\u{1f1e8}\u{1f1e9}", "\u{1f1ea}", "b"],
};

for (const [rules, expected] of Object.entries(LINES)) {
  Deno.test(`clusters end where ${rules} of UAX 29 say`, () => {
    deepStrictEqual(clusters(expected.join("")), expected);
  });
}

Deno.test("a text without anything has no clusters", () => deepStrictEqual(clusters(""), []));
