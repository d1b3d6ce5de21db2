import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { GrammarAutomaton } from "../../../lib/infer/grammar/automaton.ts";
import { parseJsonSchema } from "../../../lib/infer/grammar/json_schema.ts";
import { accepts, assertAccepts } from "./accepts.ts";
import { type SchemaCase, testSchemas } from "./schema_cases.ts";

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

const CASES: Readonly<Record<string, SchemaCase>> = {
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
  "constants": {
    listed: true,
    schema: { const: { a: [1, "\n"] } },
    yes: [{ a: [1, "\n"] }],
    no: [{ a: [1] }],
  },
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
  "all of several, member by member": {
    schema: {
      allOf: [
        { properties: { a: { type: "number" }, b: {} }, additionalProperties: { minLength: 2 } },
        { properties: { a: { minimum: 2 }, c: { type: "string" } }, required: ["a"] },
        { properties: { a: { type: ["integer", "null"] } } },
      ],
    },
    yes: [{ a: 2 }, { a: 7, b: null, c: "xy" }],
    no: [{ a: 1 }, { a: 2.5 }, { a: null }, { a: 2, c: "x" }, { b: 1 }],
  },
  "all of several, item by item": {
    schema: {
      type: "array",
      allOf: [{ prefixItems: [{ type: "integer" }], items: { maximum: 9 } }, {
        items: { type: "integer", minimum: 3 },
      }],
      minItems: 2,
    },
    yes: [[3, 3], [12, 9, 4]],
    no: [[2, 3], [3, 2], [3, 10], [3]],
  },
  "a reference with more beside it": {
    schema: {
      $defs: { few: { type: "array", items: { type: "integer" } } },
      properties: { a: { $ref: "#/$defs/few", maxItems: 2 }, b: { $ref: "#/$defs/few" } },
    },
    yes: [{ a: [1, 2] }, { b: [1, 2, 3] }],
    no: [{ a: [1, 2, 3] }, { a: ["x"] }, { b: ["x"] }],
  },
  "a list of values with more beside it": {
    schema: { type: ["string", "integer"], enum: ["a", 1, 2.5, "abc", null, 7], minimum: 2 },
    yes: ["a", "abc", 7],
    no: [1, 2.5, null],
  },
  "a constant in a list of values": { schema: { const: 2, enum: [1, 2] }, yes: [2], no: [1] },
  "exactly one of several that are told apart": {
    schema: {
      $defs: { side: { type: "number", exclusiveMinimum: 0 } },
      oneOf: [
        {
          type: "object",
          properties: { kind: { const: "circle" }, radius: { $ref: "#/$defs/side" } },
          required: ["kind", "radius"],
        },
        {
          type: "object",
          properties: { kind: { enum: ["square", "cube"] }, side: { $ref: "#/$defs/side" } },
          required: ["kind", "side"],
        },
        { type: "string", maxLength: 3 },
        { type: "string", minLength: 5 },
        { type: "number", maximum: 1 },
        { type: "number", exclusiveMinimum: 1 },
      ],
    },
    yes: [{ kind: "circle", radius: 0.5 }, { kind: "cube", side: 2 }, "abc", "abcde", -1, 1, 1.5],
    no: [{ kind: "circle", side: 2 }, { kind: "circle", radius: 0 }, "abcd", null],
  },
  "exactly one of several by what is required": {
    schema: {
      oneOf: [
        { properties: { name: { type: "string" } }, required: ["name"] },
        { properties: { id: { type: "integer" } }, required: ["id"] },
      ],
    },
    yes: [{ name: "x" }, { id: 1 }],
    no: [{ name: "x", id: 1 }, {}],
  },
  "schemas that nothing fits, beside others": {
    schema: {
      properties: {
        a: false,
        b: { anyOf: [false, { type: "null" }, { $ref: "#/$defs/endless" }] },
        c: { type: "array", prefixItems: [{ type: "integer" }, false] },
      },
      $defs: { endless: { properties: { next: { $ref: "#/$defs/endless" } }, required: ["next"] } },
    },
    yes: [{}, { b: null }, { c: [1] }],
    no: [{ a: 1 }, { b: {} }, { b: { next: {} } }, { c: [1, 2] }],
  },
  "names of Object's own properties": {
    schema: JSON.parse(
      '{"properties":{"__proto__":{"type":"null"}},"required":["toString"],' +
        '"additionalProperties":{"type":"integer"}}',
    ),
    yes: [{ toString: 1 }],
    no: [{}, { toString: "x" }],
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
    no: [
      ["2024-02-29", "192.168.0.255"],
      ["2024-02-29T23:59:59Z", "256.0.0.1"],
      ["2023-02-29T23:59:59Z", "1.1.1.1"],
    ],
  },
  "formats of hosts, links, mail and spans of time": {
    schema: {
      properties: {
        host: { format: "hostname" },
        mail: { format: "email" },
        link: { format: "uri" },
        span: { format: "duration" },
        six: { format: "ipv6" },
      },
    },
    yes: [
      { host: "a-1.example" },
      { mail: "a.b+c@example.org" },
      { link: "https://example.org:80/a/b.c?d=e#f" },
      { span: "P1Y2M" },
      { span: "PT36H" },
      { six: "2001:db8:0:0:0:0:0:1" },
    ],
    no: [
      { host: "-a" },
      { mail: "a..b@example.org" },
      { mail: "a@-b.org" },
      { link: "example.org" },
      { span: "P" },
      { six: "1.2.3.4" },
    ],
  },
};

testSchemas(CASES);

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

Deno.test("numbers between bounds are exactly those", () => {
  const bounds: readonly Readonly<Record<string, number>>[] = [
    { minimum: 0, maximum: 1 },
    { exclusiveMinimum: 0, exclusiveMaximum: 1 },
    { minimum: -1.25, maximum: 2.5 },
    { exclusiveMinimum: -0.5, maximum: 10 },
    { minimum: 0.125, exclusiveMaximum: 0.375 },
    { minimum: 0.25, maximum: 0.25 },
    { exclusiveMinimum: 9.99, exclusiveMaximum: 101.05 },
    { minimum: -120, exclusiveMaximum: -0.05 },
    { minimum: 3.5 },
    { exclusiveMaximum: -2 },
    { minimum: 1, exclusiveMinimum: 1, maximum: 2 },
  ];
  for (const bound of bounds) {
    const { minimum = -Infinity, maximum = Infinity } = bound;
    const { exclusiveMinimum = -Infinity, exclusiveMaximum = Infinity } = bound;
    const source = JSON.stringify({ type: "number", ...bound });
    const automaton = new GrammarAutomaton(parseJsonSchema(source));
    for (let step = -30_000; step <= 30_000; step++) {
      const value = step / 1000 * (step % 7 === 0 ? 8 : 1);
      const wanted = value >= minimum && value <= maximum && value > exclusiveMinimum &&
        value < exclusiveMaximum;
      const text = value.toFixed(step % 2 === 0 ? 3 : 4);
      if (text.startsWith("-0.0000") || text === "-0.000") continue;
      strictEqual(accepts(automaton, text), wanted, `${text} in ${source}`);
      const whole = Number.isInteger(value) && accepts(automaton, String(value));
      if (Number.isInteger(value)) strictEqual(whole, wanted, `${value} in ${source}`);
    }
    for (const text of ["-0", "00.5", "+1", "1.", ".5", "-", ""]) {
      strictEqual(accepts(automaton, text), false, `${text} in ${source}`);
    }
  }
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
