import { parseJsonSchema } from "../../../lib/infer/grammar/json_schema.ts";
import { assertAccepts } from "./accepts.ts";

/** A schema with values of both kinds. */
export interface SchemaCase {
  readonly schema: unknown;
  /** Values that fit. */
  readonly yes: readonly unknown[];
  /** Values that do not. */
  readonly no: readonly unknown[];
  /** Whether it lists objects or arrays, which are written in one way. @default {false} */
  readonly listed?: boolean;
}

/** Registers a test for each schema: what fits is taken, with and without spaces, and nothing else. */
export function testSchemas(cases: Readonly<Record<string, SchemaCase>>): void {
  for (const [name, { schema, yes, no, listed }] of Object.entries(cases)) {
    Deno.test(`a schema of ${name} takes what fits it and nothing else`, () => {
      const grammar = parseJsonSchema(JSON.stringify(schema));
      const text = (value: unknown) => JSON.stringify(value);
      assertAccepts(grammar, { yes: yes.map(text), no: no.map(text) });
      if (listed) return;
      const spaced = yes.map((value) => JSON.stringify(value, undefined, 2));
      assertAccepts(grammar, { yes: spaced, no: [] });
    });
  }
}
