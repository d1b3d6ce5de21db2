import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { AddedNames } from "../../lib/tokenizer/added_names.ts";
import { SPECIAL_FLAG } from "../../lib/tokenizer/description.ts";

/** Finds names with flags; tokens of a text stand as their ids in the result. */
function split(names: Readonly<Record<string, number>>, text: string, all = true): unknown[] {
  const tokens = Object.entries(names).map(([name, flags], id) => ({ name, id, flags }));
  return new AddedNames(tokens, { normal: false }).split(text, all)
    .map((part) => typeof part === "string" ? part : part.token.id);
}

Deno.test("of names that begin at one place the longest is found", () => {
  deepStrictEqual(split({ "<a": 0, "<a>": 0, ".*": 0 }, "<a><a.*b"), [1, 0, 2, "b"]);
});

Deno.test("tokens that are special are text unless all are wanted", () => {
  deepStrictEqual(split({ "<a>": 0, "<b>": SPECIAL_FLAG.always }, "<a><b>", false), ["<a>", 1]);
});

Deno.test("tokens take the white space that their flags say", () => {
  const names = { "<l>": SPECIAL_FLAG.stripLeft, "<r>": SPECIAL_FLAG.stripRight };
  deepStrictEqual(split(names, "a \u3000<l> b<r> \n c"), ["a", 0, " b", 1, "c"]);
});

Deno.test("a single word stands where no word goes on", () => {
  const names = { to: SPECIAL_FLAG.singleWord };
  deepStrictEqual(split(names, "to to\u0301 into, 𝒳to to"), [0, " to\u0301 into, 𝒳to ", 0]);
});

Deno.test("text can be cut behind a line break unless a name could reach across", () => {
  const divisible = (name: string): boolean =>
    new AddedNames([{ name, id: 0, flags: 0 }], { normal: false }).divisible;
  deepStrictEqual(["<a>", "1", "\n\n-"].map(divisible), [true, true, true]);
  deepStrictEqual(["a", "<\nb", "<a>\n"].map(divisible), [false, false, false]);
  strictEqual(new AddedNames([], { normal: false }).divisible, true);
});
