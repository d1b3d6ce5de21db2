import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { GrammarAutomaton } from "../../../lib/infer/grammar/automaton.ts";
import { parseJsonSchema } from "../../../lib/infer/grammar/json_schema.ts";
import { accepts, assertAccepts } from "./accepts.ts";

interface Case {
  readonly schema: unknown;
  /** Values that fit. */
  readonly yes: readonly unknown[];
  /** Values that do not. */
  readonly no: readonly unknown[];
}

const LIST = {
  $defs: {
    node: {
      type: "object",
      properties: {
        v: { type: "integer" },
        next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] },
      },
      required: ["v", "next"],
    },
  },
  $ref: "#/$defs/node",
};

const CASES: Readonly<Record<string, Case>> = {
  "anything": { schema: true, yes: [1, "a", [], {}, null, { a: [1.5e3] }], no: [] },
  "types": {
    schema: { type: ["string", "null", "boolean"] },
    yes: ["", "é\n\u2028", null, true, false],
    no: [1, [], {}],
  },
  "whole numbers": { schema: { type: "integer" }, yes: [0, -5, 123456], no: [1.5, "1", 1e30] },
  "numbers": { schema: { type: "number" }, yes: [0, -0.25, 1e21, 3.5e-7], no: ["1", null] },
  "properties in order, some left out": {
    schema: {
      type: "object",
      properties: { a: { type: "string" }, b: { type: "number" }, c: true },
      required: ["b"],
    },
    yes: [{ b: 1 }, { a: "x", b: 2 }, { b: 1, c: [] }, { a: "", b: 0, c: null }],
    no: [{}, { a: "x" }, { b: "x" }, { b: 1, d: 2 }],
  },
  "other properties": {
    schema: {
      type: "object",
      properties: { ab: { type: "null" }, abc: { type: "null" } },
      additionalProperties: { type: "integer" },
    },
    yes: [{}, { ab: null }, { ab: null, abc: null, a: 1, abcd: 2, "": 3, é: 4 }, { b: 1 }],
    no: [{ ab: 1 }, { abc: 1 }, { a: null }, { x: 1.5 }],
  },
  "arrays by length": {
    schema: { type: "array", items: { type: "integer" }, minItems: 2, maxItems: 3 },
    yes: [[1, 2], [1, 2, 3]],
    no: [[], [1], [1, 2, 3, 4], [1, "2"]],
  },
  "tuples": {
    schema: { type: "array", prefixItems: [{ type: "integer" }, { type: "string" }], items: false },
    yes: [[1, "a"]],
    no: [["a", 1], [1, "a", 2]],
  },
  "constants": { schema: { const: { a: [1, "\n"] } }, yes: [{ a: [1, "\n"] }], no: [{ a: [1] }] },
  "lists of values": {
    schema: { enum: ["a", 1, null, 'ä"b'] },
    yes: ["a", 1, null, 'ä"b'],
    no: ["b", 2, "1"],
  },
  "one of several": {
    schema: { anyOf: [{ type: "integer" }, { type: "array", items: { type: "boolean" } }] },
    yes: [3, [], [true, false]],
    no: ["x", [1]],
  },
  "all of several": {
    schema: {
      allOf: [
        { type: "object", properties: { a: { type: "integer" } }, required: ["a"] },
        { properties: { b: { type: "string" } }, required: ["b"] },
      ],
    },
    yes: [{ a: 1, b: "x" }],
    no: [{ a: 1 }, { b: "x" }],
  },
  "references that come back": {
    schema: LIST,
    yes: [{ v: 1, next: null }, { v: 1, next: { v: 2, next: { v: 3, next: null } } }],
    no: [{ v: 1 }, { v: 1, next: {} }],
  },
  "lengths of texts": {
    schema: { type: "string", minLength: 2, maxLength: 4 },
    yes: ["ab", "é😀", 'a\nb"', "abcd"],
    no: ["", "a", "abcde"],
  },
  "patterns": {
    schema: { type: "string", pattern: '^(a|b)[^x-z"]{1,2}\\.\\d+(?:e\\\\)?$' },
    yes: ["aq.1", "bqq.99e\\"],
    no: ["ax.1", "cq.1", "aqqq.1", "aq.", "aq.1e"],
  },
  "patterns that may stand anywhere": {
    schema: { type: "string", pattern: "b+" },
    yes: ["b", "abba", "\nb"],
    no: ["", "aca"],
  },
  "formats": {
    schema: {
      type: "array",
      prefixItems: [{ type: "string", format: "date-time" }, { format: "ipv4" }],
    },
    yes: [["2024-02-29T23:59:59.5+02:00", "192.168.0.255"]],
    no: [["2024-02-29", "192.168.0.255"], ["2024-02-29T23:59:59Z", "256.0.0.1"]],
  },
};
for (const [name, { schema, yes, no }] of Object.entries(CASES)) {
  Deno.test(`a schema of ${name} takes what fits it and nothing else`, () => {
    const grammar = parseJsonSchema(JSON.stringify(schema));
    const text = (value: unknown) => JSON.stringify(value);
    assertAccepts(grammar, { yes: yes.map(text), no: no.map(text) });
    if (name === "constants") return;
    const spaced = yes.map((value) => JSON.stringify(value, undefined, 2));
    assertAccepts(grammar, { yes: spaced, no: [] });
  });
}

Deno.test("whole numbers between bounds are exactly those", () => {
  const bounds = [[-3, 12], [0, 0], [7, 1234], [-250, -19], [99, 100], [-1, 1], [10, 99]] as const;
  for (const [minimum, maximum] of bounds) {
    const schema = { type: "integer", minimum, maximum };
    const automaton = new GrammarAutomaton(parseJsonSchema(JSON.stringify(schema)));
    for (let value = -1500; value <= 1500; value++) {
      const wanted = value >= minimum && value <= maximum;
      strictEqual(accepts(automaton, String(value)), wanted, `${value} in ${minimum}..${maximum}`);
    }
    for (const text of ["-0", "007", "+1", "1.0", ""]) strictEqual(accepts(automaton, text), false);
  }
  const open = parseJsonSchema('{"type":"integer","exclusiveMinimum":9}');
  assertAccepts(open, { yes: ["10", "99", "100", "123456789"], no: ["9", "0", "-10"] });
});

Deno.test("texts of a schema are JSON, whichever way the grammar goes", () => {
  const schema = { type: "object", properties: { s: { type: "string" }, a: { type: "array" } } };
  const automaton = new GrammarAutomaton(parseJsonSchema(JSON.stringify(schema)));
  const chars = Array.from('{}[]",: \n\\u0a9éx-.eE+trufalsen');
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 0x7fffffff) / 0x7fffffff;
  let complete = 0;
  for (let run = 0; run < 400; run++) {
    let [state, text] = [automaton.start, ""];
    for (let i = 0; i < 60 && !automaton.accepts(state); i++) {
      const possible = chars.filter((char) =>
        automaton.step(state, automaton.classes.of(char.codePointAt(0)!)) >= 0
      );
      const char = possible[Math.floor(random() * possible.length)]!;
      state = automaton.step(state, automaton.classes.of(char.codePointAt(0)!));
      text += char;
    }
    if (!automaton.accepts(state)) continue;
    complete++;
    deepStrictEqual(typeof JSON.parse(text), "object", text);
  }
  ok(complete > 50, `${complete} complete`);
});

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
  "a keyword that would be lost": ['{"type":"number","minimum":0}', /"minimum" of a number/],
  "a pattern that looks ahead": ['{"type":"string","pattern":"^(?=a)b$"}', /looks around/],
  "an unknown format": ['{"type":"string","format":"uri"}', /"uri" cannot be followed/],
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
    /"type" stands in two/,
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
    ok(performance.now() - start < 1_000);
  });
}
