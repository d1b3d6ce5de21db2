import assert from "node:assert/strict";
import { JsonScanner, type JsonValue, parseStrictJson } from "../../lib/base/json_scanner.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function parse(text: string | Uint8Array): JsonValue {
  const bytes = typeof text === "string" ? encode(text) : text;
  return parseStrictJson(bytes, (what, at) => new SyntaxError(`${what} at ${at}`));
}

/** Maps to objects, for comparison with `JSON.parse`. */
function plain(value: JsonValue): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([k, v]) => [k, plain(v)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

Deno.test("valid documents parse as JSON.parse does", () => {
  const documents = [
    ...["null", "true", "false", "0", "-0", "12", "-1.5e-3", "1E+2", '""', "[]", "{}", " [ ] "],
    '{"a":[1,{"b":null}],"c":"\\u00e9\\n\\"\\\\ é 😀"}',
    '\t{ "x" :\r\n [ 1 , 2 ] }\n',
    "[[[[[[[[[[1]]]]]]]]]]",
    '"\\ud83d\\ude00"',
  ];
  for (const text of documents) assert.deepEqual(plain(parse(text)), JSON.parse(text), text);
});

Deno.test("keys such as __proto__ are kept as keys", () => {
  const value = parse('{"__proto__":1,"constructor":2}');
  assert.ok(value instanceof Map);
  assert.deepEqual([...value], [["__proto__", 1], ["constructor", 2]]);
});

const BAD: readonly [name: string, text: string | Uint8Array, error: RegExp][] = [
  ["nothing", "", /has the end where a value was wanted at 0/],
  ["a key twice", '{"a":1,"a":2}', /has the key "a" twice at 7/],
  ["the same key written with an escape", '{"a":1,"\\u0061":2}', /has the key "a" twice/],
  ["a trailing comma in an object", '{"a":1,}', /has '}' where a string was wanted at 7/],
  ["a trailing comma in an array", "[1,]", /has '\]' where a value was wanted at 3/],
  ["text after the end", "{} x", /has 'x' where the end was wanted at 3/],
  ["a missing colon", '{"a" 1}', /has '1' where ':' was wanted/],
  ["an object that ends", '{"a":1', /has the end where ',' or '}' was wanted/],
  ["a string that ends", '"abc', /ends inside a string at 4/],
  ["a string that ends in an escape", '"abc\\', /ends inside a string/],
  ["a raw line break in a string", '"a\nb"', /control character in a string at 2/],
  ["a wrong escape", '"\\x41"', /wrong escape in a string at 0/],
  ["half a surrogate pair", '"\\ud83d"', /half of a surrogate pair/],
  ["invalid UTF-8", Uint8Array.of(0x22, 0xc3, 0x28, 0x22), /invalid UTF-8 in a string/],
  ["a byte order mark", Uint8Array.of(0xef, 0xbb, 0xbf, 0x31), /has byte 0xef where a value/],
  ["a leading zero", "[01]", /the number 01, which is malformed/],
  ["a plus sign", "+1", /has '\+' where a value/],
  ["a bare point", "1.", /the number 1\., which is malformed/],
  ["an endless number", "1".repeat(500), /malformed or too long/],
  ["NaN", "NaN", /has 'N' where a value/],
  ["a comment", "/**/1", /has '\/' where a value/],
  ["single quotes", "'a'", /has ''' where a value/],
  ["deep arrays", "[".repeat(100_000), /nested deeper than 64 levels at 64/],
  ["deep objects", '{"a":'.repeat(100_000), /nested deeper than 64 levels/],
  ["a million values", `[${"0,".repeat(1 << 20)}0]`, /has more than 1048576 values/],
  ["a key of a megabyte", `{"${"k".repeat(1 << 20)}":1}`, /a string of more than 8192 bytes at 1/],
  ["a string of 16 MiB", `"${"s".repeat(1 << 24)}"`, /a string of more than 16777216 bytes at 0/],
  ["a wrong word", "nul", /has 'n' where a value/],
];

for (const [name, text, error] of BAD) {
  Deno.test(`${name} is refused where it stands`, () => {
    assert.throws(() => parse(text), error);
  });
}

Deno.test("an unsigned integer is digits alone and below 2^53", () => {
  const read = (text: string): number => {
    const scanner = new JsonScanner(encode(text), (what) => new SyntaxError(what));
    const value = scanner.unsignedInteger(() => "the count");
    scanner.end();
    return value;
  };
  assert.equal(read("0"), 0);
  assert.equal(read(" 9007199254740991 "), 2 ** 53 - 1);
  for (
    const text of [
      "-1",
      "-0",
      "1.0",
      "1.5",
      "1e3",
      "1E3",
      "01",
      "9007199254740992",
      "1".repeat(300),
    ]
  ) {
    assert.throws(() => read(text), /the count is .*, wanted an integer from 0 to 2\^53 - 1/, text);
  }
  for (const text of ['"1"', "null", "[1]", "", "x"]) {
    assert.throws(
      () => read(text),
      /where the count \(an integer from 0 to 2\^53 - 1\) was wanted/,
      text,
    );
  }
});
