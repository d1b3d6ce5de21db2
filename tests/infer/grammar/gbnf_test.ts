import { ok, throws } from "node:assert/strict";
import { parseGbnf } from "../../../lib/infer/grammar/gbnf.ts";
import { assertAccepts } from "./accepts.ts";
import { SOON_MS } from "../../time_limits.ts";

interface Case {
  readonly source: string;
  readonly yes: readonly string[];
  readonly no: readonly string[];
}

const CASES: Readonly<Record<string, Case>> = {
  "alternatives and groups": {
    source: 'root ::= ("a" | "b" "c") "d"',
    yes: ["ad", "bcd"],
    no: ["", "d", "abcd", "add"],
  },
  "counts": {
    source: 'root ::= "a"? "b"* "c"+ "d"{2} "e"{1,} "f"{0,2}',
    yes: ["cdde", "abbbccddeeeff"],
    no: ["dde", "cde", "cddefff", "aacdde"],
  },
  "classes, ranges and negation": {
    source: "root ::= [a-cx] [^a-c\\n] [-] [\\x41-\\u0043]",
    yes: ["ad-A", "xx-C", "bé-B"],
    no: ["dd-A", "aa-A", "a\n-A", "ad-D"],
  },
  "escapes in texts": {
    source: 'root ::= "\\"\\\\\\n\\u00e9\\U0001F600"',
    yes: ['"\\\né😀'],
    no: ['"\\\ne😀'],
  },
  "any character": { source: "root ::= . .", yes: ["ab", "é😀", "\n\n"], no: ["a", "abc"] },
  "comments and lines": {
    source: '# first\nroot ::= a | # second\n  b\na ::= "a" # third\nb ::= (\n "b"\n "c" )\n',
    yes: ["a", "bc"],
    no: ["b"],
  },
  "nesting that no regular expression counts": {
    source: 'root ::= "(" root ")" | ""',
    yes: ["", "()", "(((())))"],
    no: ["(", "(()", "())"],
  },
  "repetition of what can be empty": {
    source: 'root ::= ([a-z]* "-"?)* "."',
    yes: [".", "a-b--c."],
    no: ["A.", "a"],
  },
  "ambiguity": {
    source: 'root ::= item+\nitem ::= "a" | "aa" | "ab"',
    yes: ["a", "aaab", "abaa"],
    no: ["b", "abb"],
  },
};
for (const [name, { source, yes, no }] of Object.entries(CASES)) {
  Deno.test(`GBNF: ${name}`, () => assertAccepts(parseGbnf(source), { yes, no }));
}

const REFUSED: Readonly<Record<string, readonly [string, RegExp]>> = {
  "no root": ['a ::= "b"', /line 1, column 1: there is no rule "root"$/],
  "an unknown rule": [
    'root ::= "a" lisst\nlist ::= "b"',
    /line 1, column 14: there is no rule "lisst" \(did you mean .*list.*\)$/,
  ],
  "a rule twice": ['root ::= "a"\nroot ::= "b"', /line 2, column 1: the rule "root" stands twice$/],
  "an open text": ['root ::= "a', /line 1, column 10: a text is not closed$/],
  "an open class": ["root ::= [a", /line 1, column 10: a "\[" is not closed$/],
  "an open bracket": ['root ::= ("a"', /line 1, column 10: a "\(" is not closed$/],
  "a backward range": ["root ::= [z-a]", /column 11: a range ends before it begins$/],
  "no definition": ['root := "a"', /line 1, column 6: "::=" was wanted after "root"$/],
  "something out of place": ['root ::= "a" )', /column 14: "\)" is out of place$/],
  "counts in the wrong order": ['root ::= "a"{3,2}', /the counts 3 and 2 are in the wrong order$/],
  "a huge count": ['root ::= "a"{1000000}', /the count 1000000 is more than 10000$/],
  "an unknown escape": ['root ::= "\\q"', /"\\\\q" is no escape$/],
  "left recursion": ['root ::= root "a" | "b"', /a rule begins with itself \(left recursion\)$/],
  "hidden left recursion": [
    'root ::= x y\nx ::= "a"?\ny ::= x root "b" | "c"',
    /a rule begins with itself \(left recursion\)$/,
  ],
  "60,000 brackets": [
    `root ::= ${"(".repeat(60_000)}"a"${")".repeat(60_000)}`,
    /brackets are nested more than 256 deep$/,
  ],
  "more symbols than any": [
    `root ::= ${'"a"{10000} '.repeat(30)}`,
    /it has more than 200000 symbols$/,
  ],
};
for (const [name, [source, message]] of Object.entries(REFUSED)) {
  Deno.test(`a grammar with ${name} is refused`, () => {
    const start = performance.now();
    throws(() => parseGbnf(source), { name: "ConfigError", message });
    ok(performance.now() - start < SOON_MS);
  });
}
