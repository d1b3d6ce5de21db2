import { ok, throws } from "node:assert/strict";
import { parseJsonSchema } from "../../../lib/infer/grammar/json_schema.ts";
import { SOON_MS } from "../../time_limits.ts";

const REFUSED: Readonly<Record<string, readonly [string, RegExp]>> = {
  "no JSON": ["{", /^Cannot read the schema: /],
  "an unknown keyword": [
    '{"type":"object","requird":[]}',
    /at "#": the keyword "requird" cannot be followed \(did you mean .*required/,
  ],
  "an unknown type": [
    '{"properties":{"a":{"type":"text"}}}',
    /at "#\/properties\/a\/type": "text"/,
  ],
  "a keyword that would be lost": [
    '{"type":"array","unevaluatedItems":false}',
    /"unevaluatedItems" cannot/,
  ],
  "a lost keyword in a part of all": [
    '{"allOf":[{"type":"array"},{"unevaluatedItems":false}]}',
    /at "#\/allOf\/1": the keyword "unevaluatedItems" cannot/,
  ],
  "a lost keyword in a condition": [
    '{"type":"object","if":{"propertyNames":{}},"then":false}',
    /at "#\/if": the keyword "propertyNames" cannot/,
  ],
  "two things that an array has to contain": [
    '{"type":"array","allOf":[{"contains":{"const":1}},{"contains":{"const":2}}]}',
    /"contains" stands in two schemas that both hold/,
  ],
  "items that may not repeat and have to be among them": [
    '{"items":{"enum":[1,2]},"contains":{"const":1},"uniqueItems":true}',
    /"contains" beside "uniqueItems" cannot be followed/,
  ],
  "more to contain than there can be": [
    '{"contains":{"const":1},"minContains":3,"maxItems":2}',
    /at most 2 items can be, and at least 3 have to/,
  ],
  "no count to contain": [
    '{"contains":{"const":1},"minContains":-1}',
    /minContains": a whole number/,
  ],
  "counts with too many cases": [
    '{"contains":{"const":1},"minContains":200,"maxItems":300}',
    /make more than 10000 cases/,
  ],
  "the opposite of what has none": [
    '{"type":"array","not":{"prefixItems":[true],"items":{"type":"integer"}}}',
    /at "#\/not": the opposite of "items" cannot be written/,
  ],
  "the opposite of a condition that has none": [
    '{"type":"string","if":{"format":"date"},"then":{"maxLength":3},"else":{"const":"x"}}',
    /the opposite of "format" cannot be written/,
  ],
  "the opposite of everything": ['{"not":{}}', /no finite value fits/],
  "a list and its opposite": ['{"enum":[1,"a"],"not":{"enum":["a",1,2]}}', /no finite value fits/],
  "no type of JSON in a not": ['{"not":{"type":"text"}}', /the opposite of "type" cannot/],
  "items that are not listed and may not repeat": [
    '{"type":"array","items":{"type":"string"},"uniqueItems":true}',
    /at "#\/uniqueItems": items that are not of a list of values/,
  ],
  "multiples of nothing": [
    '{"type":"number","multipleOf":0}',
    /at "#\/multipleOf": a number above 0 was wanted/,
  ],
  "multiples of a large number": [
    '{"type":"number","multipleOf":123457}',
    /at "#\/multipleOf": multiples of more than 5000 units/,
  ],
  "multiples between which there is none": [
    '{"type":"number","multipleOf":7,"minimum":8,"maximum":13}',
    /no number that is a multiple of 7 lies between 8 and 13/,
  ],
  "patterns of names beside other additional ones": [
    '{"allOf":[{"patternProperties":{"^a":{}},"additionalProperties":false},{"properties":{"ab":{}}}]}',
    /"patternProperties" stands in two schemas/,
  ],
  "a pattern of names that looks ahead": [
    '{"patternProperties":{"(?=a)":{}}}',
    /at "#\/patternProperties\/\(\?=a\)": .*looks around/,
  ],
  "a pattern and a length that exclude each other": [
    '{"type":"string","pattern":"^abc$","maxLength":2}',
    /at "#": no text fits all of it/,
  ],
  "numbers between nothing": ['{"type":"number","minimum":1,"exclusiveMaximum":1}', /no number/],
  "parts that may fit together": [
    '{"oneOf":[{"type":"integer"},{"type":"number","minimum":2}]}',
    /at "#\/oneOf": a value may fit both of 0 and 1/,
  ],
  "a part without a type beside another type": [
    '{"oneOf":[{"properties":{"a":{}}},{"type":"string"}]}',
    /a value may fit both of 0 and 1/,
  ],
  "parts with the same members": [
    '{"oneOf":[{"properties":{"a":{}}},{"properties":{"a":{},"b":{}}}]}',
    /a value may fit both of 0 and 1/,
  ],
  "values without end": ['{"type":"array","items":{"$ref":"#"},"minItems":1}', /no finite value/],
  "a reference to itself": ['{"$ref":"#"}', /no finite value/],
  "a broken reference": ['{"$ref":"#/%E0"}', /there is no "#\/%E0"/],
  "patterns that both hold": [
    '{"allOf":[{"pattern":"^a"},{"pattern":"b$"}]}',
    /"pattern" stands in two schemas/,
  ],
  "a pattern that looks ahead": ['{"type":"string","pattern":"^(?=a)b$"}', /looks around/],
  "an unknown format": ['{"type":"string","format":"iri"}', /"iri" cannot be followed/],
  "a reference elsewhere": ['{"$ref":"http://x/y"}', /"http:\/\/x\/y" is not in this schema/],
  "a reference to nothing": ['{"$ref":"#/$defs/x"}', /there is no "#\/\$defs\/x"/],
  "an empty range": [
    '{"type":"integer","minimum":3,"maximum":2}',
    /no whole number lies between 3 and 2/,
  ],
  "a required property that cannot be": [
    '{"type":"object","properties":{},"required":["a"]}',
    /there is no property "a"/,
  ],
  "two types that both hold": [
    '{"allOf":[{"type":"string"},{"type":"null"}]}',
    /no finite value fits/,
  ],
  "a condition that is the schema itself": [
    '{"if":{"$ref":"#"},"then":{"const":1},"else":{"const":2}}',
    /more than 500 references lead to one another/,
  ],
  "an opposite of itself": ['{"not":{"$ref":"#"}}', /no finite value fits/],
  "more conditions than can be told apart": [
    JSON.stringify({
      allOf: Array.from("abcdefghijkl", (name) => ({
        if: { required: [name] },
        then: { required: ["x"] },
      })),
    }),
    /alternatives and conditions have more than 1000 combinations/,
  ],
  "60,000 levels": ["[".repeat(60_000), /nested more than 256 deep/],
  "60,000 levels of schemas": [
    `${'{"items":'.repeat(60_000)}true${"}".repeat(60_000)}`,
    /nested more than 256 deep/,
  ],
  "a length that is too much": [
    '{"type":"string","minLength":99999999}',
    /more than 200000 symbols/,
  ],
};
for (const [name, [source, message]] of Object.entries(REFUSED)) {
  Deno.test(`a schema with ${name} is refused`, () => {
    const start = performance.now();
    throws(() => parseJsonSchema(source), { name: "ConfigError", message });
    ok(performance.now() - start < SOON_MS);
  });
}
