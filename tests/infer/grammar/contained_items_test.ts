import { type SchemaCase, testSchemas } from "./schema_cases.ts";

/** Which values fit was checked with jsonschema 4 (Draft 2020-12). */
const CASES: Readonly<Record<string, SchemaCase>> = {
  "an array that contains a value": {
    schema: { items: { type: ["integer", "string"] }, contains: { const: 1 } },
    yes: [[1], ["a", 1], [1, 1], [3, "b", 1, 4]],
    no: [[], [2], ["1"], [1, null]],
  },
  "an array that contains some of a kind, and not too many": {
    schema: {
      type: "array",
      items: { type: ["integer", "boolean"] },
      contains: { type: "integer" },
      minContains: 2,
      maxContains: 3,
    },
    yes: [[1, 2], [true, 1, false, 2], [1, 2, true, 3]],
    no: [[], [1], [true, 1], [1, 2, 3, 4], [1, true, 2, 3, 4]],
  },
  "an array that may contain at most one": {
    schema: {
      items: { enum: [1, 2, "a"] },
      contains: { type: "string" },
      minContains: 0,
      maxContains: 1,
      maxItems: 3,
    },
    yes: [[], [1], ["a"], [2, "a", 1]],
    no: [["a", "a"], [1, 1, 1, 1], ["a", 1, "a"]],
  },
  "counts without anything to contain": {
    schema: { type: "array", items: { const: 1 }, minContains: 2, maxContains: 2 },
    yes: [[], [1], [1, 1, 1]],
    no: [[2]],
  },
  "a tuple that contains a value": {
    schema: {
      prefixItems: [{ type: "string" }, { type: "integer" }],
      items: { type: "integer" },
      contains: { type: "integer", minimum: 5 },
    },
    yes: [["a", 5], ["a", 1, 6], ["a", 1, 2, 7, 1]],
    no: [["a", 1], ["a"], ["a", 1, 2]],
  },
  "an array that contains arrays that contain": {
    schema: {
      items: { type: "array", items: { enum: [0, 1] } },
      contains: { contains: { const: 1 }, maxItems: 2 },
    },
    yes: [[[1]], [[0], [0, 1], []], [[1, 1, 1], [1]]],
    no: [[], [[0]], [[0, 0, 1]]],
  },
  "no array that contains a value": {
    schema: {
      type: "array",
      items: { type: "integer" },
      not: { contains: { const: 1 } },
    },
    yes: [[], [2, 3], [11]],
    no: [[1], [2, 1], ["a"]],
  },
  "an array that does not contain so many": {
    schema: {
      type: "array",
      items: { type: "integer" },
      not: { contains: { maximum: 0 }, minContains: 2, maxContains: 3 },
    },
    yes: [[], [0], [1, 0, 2], [0, 0, 0, 0], [0, -1, -2, 1, -3]],
    no: [[0, 0], [1, 0, 2, 0], [0, 0, 0, 5]],
  },
  "an array of which not all items are whole": {
    schema: {
      type: "array",
      items: { type: ["integer", "null"] },
      not: { items: { type: "integer" } },
    },
    yes: [[null], [1, null]],
    no: [[], [1], [1, 2]],
  },
  "what an array with a value has to be besides": {
    schema: {
      type: "array",
      items: { enum: [1, 2] },
      if: { contains: { const: 2 } },
      then: { maxItems: 1 },
      else: { minItems: 2 },
    },
    yes: [[2], [1, 1], [1, 1, 1]],
    no: [[], [1], [1, 2], [2, 2]],
  },
  "all of several with the same contents": {
    schema: {
      allOf: [
        { type: "array", items: { type: "integer" }, contains: { const: 7 } },
        { contains: { const: 7 }, minContains: 0, maxContains: 2 },
        { minContains: 3 },
      ],
    },
    yes: [[7], [1, 7, 7]],
    no: [[], [1], [7, 7, 7]],
  },
};

testSchemas(CASES);
