import { strictEqual } from "node:assert/strict";
import { GrammarAutomaton } from "../../../lib/infer/grammar/automaton.ts";
import { parseJsonSchema } from "../../../lib/infer/grammar/json_schema.ts";
import { accepts, assertAccepts } from "./accepts.ts";

Deno.test("multiples between bounds are exactly those", () => {
  const cases: readonly Readonly<Record<string, string | number>>[] = [
    { type: "integer", multipleOf: 3 },
    { type: "integer", multipleOf: 7, minimum: -50, exclusiveMaximum: 1001 },
    { type: "integer", multipleOf: 1.5, minimum: 4 },
    { type: "integer", multipleOf: 0.25, maximum: -3 },
    { type: "number", multipleOf: 12, exclusiveMinimum: 24, maximum: 600 },
    { type: "number", multipleOf: 0.25, minimum: -1.1, maximum: 20.3 },
    { type: "number", multipleOf: 0.015 },
    { type: "number", multipleOf: 1.4, exclusiveMaximum: 70 },
    { type: "number", multipleOf: 100, minimum: 0.5 },
  ];
  for (const schema of cases) {
    const { multipleOf, minimum = -Infinity, maximum = Infinity } = schema;
    const { exclusiveMinimum = -Infinity, exclusiveMaximum = Infinity } = schema;
    const source = JSON.stringify(schema);
    const automaton = new GrammarAutomaton(parseJsonSchema(source));
    const step = Math.round(Number(multipleOf) * 1000);
    for (let thousandths = -60_000; thousandths <= 1_100_000; thousandths += 5) {
      const value = thousandths / 1000;
      const isWhole = thousandths % 1000 === 0;
      const fits = thousandths % step === 0 && value >= Number(minimum) &&
        value <= Number(maximum) && value > Number(exclusiveMinimum) &&
        value < Number(exclusiveMaximum) && (schema.type === "number" || isWhole);
      const text = String(value);
      if (accepts(automaton, text) === fits) continue;
      strictEqual(accepts(automaton, text), fits, `${text} in ${source}`);
    }
    for (const text of ["-0", "00", "012", "+12", "12.", ".5", "-", ""]) {
      strictEqual(accepts(automaton, text), false, `${text} in ${source}`);
    }
  }
  const both = parseJsonSchema('{"allOf":[{"multipleOf":0.6},{"multipleOf":0.8}],"type":"number"}');
  assertAccepts(both, {
    yes: ["0", "2.4", "-4.8", "12", "12.0"],
    no: ["0.6", "1.6", "0.8", "1.2"],
  });
});
