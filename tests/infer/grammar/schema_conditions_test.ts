import { type SchemaCase, testSchemas } from "./schema_cases.ts";

/** Conditions, opposites and members by pattern. */
const CASES: Readonly<Record<string, SchemaCase>> = {
  "members by pattern": {
    schema: {
      type: "object",
      properties: { S_id: { minLength: 2 }, n: { type: "integer" } },
      patternProperties: { "^S_": { type: "string" }, "_x$": { maxLength: 3 } },
      required: ["n"],
    },
    yes: [{ n: 1 }, { S_id: "ab", n: 1 }, { n: 1, S_: "", "S_\n": "b" }, { n: 1, S_x: "abc" }],
    no: [{ S_id: "a", n: 1 }, { n: 1, S_a: 2 }, { n: 1, S_x: "abcd" }, { n: 1, other: "x" }, {
      n: 1,
      a_x: "abcd",
    }, {}],
  },
  "members by pattern and additional ones": {
    schema: {
      patternProperties: { "^n[0-9]+$": { type: "boolean" } },
      additionalProperties: { type: "null" },
      required: ["n12", "é"],
    },
    yes: [{ "n12": true, é: null }, { "n12": false, é: null, "n3": true, x3: null, "": null }],
    no: [{ "n12": true }, { "n12": null, é: null }, { "n12": true, é: true }, {
      "n12": true,
      é: null,
      "n7": null,
    }],
  },
  "members by patterns of all of several": {
    schema: {
      allOf: [
        { patternProperties: { "^a": { type: "integer" } } },
        { patternProperties: { "^a": { minimum: 3 }, "b$": { maximum: 9 } } },
        { properties: { ab: { multipleOf: 2 } } },
      ],
    },
    yes: [{ ab: 4 }, { a: 30 }, { ab: 8, a: 3, xb: 9 }],
    no: [{ ab: 3 }, { ab: 2 }, { ab: 10 }, { a: 2 }, { xb: 10 }, { x: 1 }],
  },
  "items of a list that may not repeat": {
    listed: true,
    schema: { items: { enum: ["a", 1, { b: [] }] }, uniqueItems: true, minItems: 1 },
    yes: [["a"], [1, "a"], [{ b: [] }, 1, "a"]],
    no: [[], ["a", "a"], [1, { b: [] }, 1], ["b"]],
  },
  "items of each place that may not repeat": {
    schema: {
      prefixItems: [{ $ref: "#/$defs/level" }, { type: ["boolean", "null"] }],
      items: { anyOf: [{ const: true }, { $ref: "#/$defs/level" }] },
      $defs: { level: { type: "integer", exclusiveMinimum: 0, maximum: 3 } },
      uniqueItems: true,
      maxItems: 4,
    },
    yes: [[], [3], [3, null], [1, true, 2, 3], [2, false, true]],
    no: [[1, true, true], [1, null, 1], [0], [4], [1, 2], [1, null, 2, 3, true]],
  },
  "one item, which cannot repeat": {
    schema: { type: "array", items: { type: "string" }, maxItems: 1, uniqueItems: true },
    yes: [[], ["x"]],
    no: [["x", "y"], [1]],
  },
  "not a type": {
    schema: { not: { type: ["string", "object", "array"] } },
    yes: [1, -2.5, true, null],
    no: ["a", [], {}],
  },
  "not one of a list": {
    schema: { type: ["string", "number", "boolean"], not: { enum: ["no", "none", 0, 3, true] } },
    yes: ["", "n", "non", "nonet", "No", 1, -1, 2.99, 30, 0.5, false],
    no: ["no", "none", 0, 3, "n\u006f", true, null],
  },
  "whole numbers but some": {
    schema: { type: "integer", minimum: -2, maximum: 4, not: { enum: [0, 2, 4, 99] } },
    yes: [-2, -1, 1, 3],
    no: [0, 2, 4, -3, 5],
  },
  "not a pattern": {
    schema: { type: "string", not: { pattern: "^(foo|ba+r)" }, maxLength: 5 },
    yes: ["", "fo", "br", "xfoo", 'afoo"', "bazr"],
    no: ["foo", "foo1", "baaar", "abcdef"],
  },
  "not another schema, keyword by keyword": {
    schema: {
      properties: { a: { type: "integer" }, b: { type: "string" } },
      not: { properties: { a: { minimum: 10 } }, required: ["a", "b"] },
    },
    yes: [{}, { a: 10 }, { b: "x" }, { a: 9, b: "x" }],
    no: [{ a: 10, b: "x" }, { a: "x" }, { a: 1.5 }],
  },
  "not any of several, and what is not left out": {
    schema: {
      not: {
        anyOf: [{ type: "object" }, { type: "string", minLength: 3 }, {
          not: { not: { const: 7 } },
        }],
      },
    },
    yes: ["", "ab", 6, 8, 7.5, null, [7], "7"],
    no: ["abc", 7, {}, { a: 1 }],
  },
  "not a schema that comes back to itself": {
    schema: {
      $defs: { bad: { properties: { next: { $ref: "#/$defs/bad" }, v: { const: 1 } } } },
      not: { $ref: "#/$defs/bad" },
      type: "object",
    },
    yes: [{ v: 2 }, { next: { next: { v: null } } }, { next: { v: 3 }, x: [] }],
    no: [{}, { v: 1 }, { next: {} }, { next: { v: 1 } }],
  },
  "a condition on a constant": {
    schema: {
      type: "object",
      properties: {
        country: { enum: ["US", "NL", "CA"] },
        code: { type: "string" },
      },
      required: ["country", "code"],
      if: { properties: { country: { const: "US" } } },
      then: { properties: { code: { pattern: "^\\d{5}$" } } },
      else: { properties: { code: { pattern: "^[A-Z]\\d$" } } },
    },
    yes: [{ country: "US", code: "12345" }, { country: "NL", code: "A1" }, {
      country: "CA",
      code: "B2",
    }],
    no: [{ country: "US", code: "A1" }, { country: "NL", code: "12345" }, { country: "US" }],
  },
  "conditions beside each other": {
    schema: {
      type: "integer",
      allOf: [
        { if: { minimum: 10 }, then: { multipleOf: 10 } },
        { if: { maximum: 0 }, then: { const: 0 }, else: { maximum: 40 } },
      ],
    },
    yes: [0, 1, 9, 10, 20, 40],
    no: [-1, 11, 25, 50],
  },
  "a condition on the type": {
    schema: {
      type: ["string", "integer"],
      if: { type: "string" },
      then: { maxLength: 2 },
      else: { minimum: 5 },
    },
    yes: ["ab", "", 5, 600],
    no: ["abc", 4],
  },
  "then and else without if": {
    schema: { type: "boolean", then: { const: true }, else: { const: false } },
    yes: [true, false],
    no: [1],
  },
  "members that come with others": {
    schema: {
      properties: { card: { type: "integer" }, address: { type: "string" }, gift: {} },
      dependentRequired: { card: ["address"] },
      dependentSchemas: { gift: { properties: { card: false } } },
    },
    yes: [{}, { card: 1, address: "x" }, { address: "x", gift: 1 }, { gift: null }],
    no: [{ card: 1 }, { card: 1, address: "x", gift: 1 }],
  },
  "patterns, formats and lengths together": {
    schema: { type: "string", pattern: "\\.org$", format: "hostname", minLength: 6, maxLength: 8 },
    yes: ["ab.org", "a-c.org", "abcd.org"],
    no: ["a.org", "abcde.org", "ab.com", "a_b.org"],
  },
  "a list with a pattern left out": {
    schema: { enum: ["ax", "bx", 3], not: { pattern: "^a" } },
    yes: ["bx"],
    no: ["ax", 3],
  },
};

testSchemas(CASES);
