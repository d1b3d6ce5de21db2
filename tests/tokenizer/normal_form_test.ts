import { strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { NORMAL_FORMS, normalForm } from "../../lib/tokenizer/normal_form.ts";

const url = new URL("../golden/tokenizer/prepared.json", import.meta.url);
const { digests } = JSON.parse(await Deno.readTextFile(url)) as {
  readonly digests: Readonly<Record<string, string>>;
};

Deno.test("every code point has the normal forms of huggingface/tokenizers", () => {
  const texts: string[] = [];
  for (let code = 0x20; code < 0x110000; code++) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const character = String.fromCodePoint(code);
    texts.push(character, `a\u0315${character}`, `a${character}\u0334\u0301`);
  }
  for (const form of NORMAL_FORMS) {
    const all = texts.map((text) => normalForm(text, form)).join("\n");
    strictEqual(createHash("sha256").update(all).digest("hex"), digests[form], form);
  }
});

Deno.test("characters newer than its tables neither move nor compose", () => {
  // U+1AC0 has a combining class since Unicode 13, and U+11935 U+11930 are U+11938.
  strictEqual(normalForm("a\u0315\u1ac0\u0334", "NFD"), "a\u0315\u1ac0\u0334");
  strictEqual(normalForm("\u{11935}\u{11930}e\u0301", "NFC"), "\u{11935}\u{11930}\u00e9");
});
