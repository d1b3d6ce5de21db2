/**
 * `tests/golden/tables/tables.json`: small tables that PyTorch and transformers computed.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { golden } from "./fixtures.ts";

/** A float32 and its nearest halves, as hexadecimal bits. */
export interface RoundingCase {
  /** The float32. */
  readonly f32_bits: string;
  /** The nearest float16. */
  readonly f16_bits: string;
  /** The nearest bfloat16. */
  readonly bf16_bits: string;
}

/** Rotary positions of one head. */
export interface RopeCase {
  /** Elements of the head. */
  readonly head_dim: number;
  /** Base of the frequencies. */
  readonly theta: number;
  /** Llama 3.1's scaling, where there is one. */
  readonly scaling?: Readonly<Record<string, number>> | null;
  /** The positions that `rotated` has. */
  readonly positions: readonly number[];
  /** The frequencies. */
  readonly inv_freq: readonly number[];
  /** What is rotated. */
  readonly vector: readonly number[];
  /** The vector at each position, in both layouts. */
  readonly rotated: readonly {
    readonly position: number;
    readonly rotate_half: readonly number[];
    readonly interleaved: readonly number[];
  }[];
}

const tables = JSON.parse(readFileSync(golden("tables/tables.json"), "utf8"));

/** Floats that round in every way. */
export const ROUNDING_CASES: readonly RoundingCase[] = tables.half_precision.cases;
/** Rotary tables of several bases and scalings. */
export const ROPE_CASES: readonly RopeCase[] = tables.rope;
