/**
 * Where parameters lie when a rank has the weights, or the gradients, of one unit at a time: all blocks
 * take turns in one place, and embedding and head in another, unless they are tied.
 *
 * @module
 */

import type { ModelConfig } from "../config.ts";
import { aligned } from "../memory_plan.ts";
import { type ArenaLayouts, layOut, type ParameterLayout } from "./parameters.ts";
import { heldElements, stagesOf } from "./parts.ts";
import type { PlanOptions } from "./trainable.ts";
import { unitsOf } from "./units.ts";

const ELEMENT_BYTES = 4;

/** Places of parameters that take turns. */
export interface Slots extends Pick<ParameterLayout, "offsets" | "elements"> {
  /** The place that each unit takes, by a number; units with the same number take turns. */
  readonly slotOf: readonly number[];
}

/** Places a unit's parameters from 0 on; neighbours in the whole layout stay neighbours. */
function placeUnit(
  unit: readonly number[],
  whole: ParameterLayout,
): { readonly places: ReadonlyMap<number, number>; readonly elements: number } {
  const places = new Map<number, number>();
  let [end, endInWhole] = [0, -1];
  for (const index of unit.toSorted((a, b) => whole.offsets[a]! - whole.offsets[b]!)) {
    const offset = whole.offsets[index]!;
    // What is multiplied as one has no gap between.
    if (offset !== endInWhole) end = aligned(end * ELEMENT_BYTES) / ELEMENT_BYTES;
    places.set(index, end);
    const count = heldElements(whole.held[index]!);
    [end, endInWhole] = [end + count, offset + count];
  }
  return { places, elements: aligned(end * ELEMENT_BYTES) / ELEMENT_BYTES };
}

/**
 * Lays parameters out so that units take turns.
 *
 * @param units Places of parameters by units: embedding, blocks, head.
 */
export function layOutSlots(
  whole: ParameterLayout,
  { units, tied }: { readonly units: readonly (readonly number[])[]; readonly tied: boolean },
): Slots {
  const last = units.length - 1;
  // A tied embedding is there until the head has read it, and its gradient from the head on.
  const slotOf = units.map((_, unit) => unit === 0 ? 1 : unit < last ? 0 : tied ? 2 : 1);
  const placed = units.map((unit) => placeUnit(unit, whole));
  const sizes = [0, 0, 0];
  placed.forEach(({ elements }, unit) => {
    sizes[slotOf[unit]!] = Math.max(sizes[slotOf[unit]!]!, elements);
  });
  const firsts = [0, sizes[0]!, sizes[0]! + sizes[1]!];
  const offsets = new Array<number>(whole.offsets.length);
  placed.forEach(({ places }, unit) => {
    for (const [index, place] of places) offsets[index] = firsts[slotOf[unit]!]! + place;
  });
  return { offsets, elements: sizes[0]! + sizes[1]! + sizes[2]!, slotOf };
}

/** Where everything of a rank's parameters lies. */
export interface ArenaPlan {
  /** All of them side by side. */
  readonly whole: ParameterLayout;
  /** The units of a pass. */
  readonly units: readonly (readonly number[])[];
  /** The place that each unit takes where units take turns. */
  readonly slotOf: readonly number[];
  /** Where masters and gradients lie: side by side, or in turns. */
  readonly layouts: ArenaLayouts;
}

/** Lays out the parameters of the rank that has `parts`. */
export function planArenas(
  config: ModelConfig,
  { parts = {}, streamed }: Pick<PlanOptions, "parts" | "streamed">,
): ArenaPlan {
  const whole = layOut(config, parts);
  const units = unitsOf(whole.held, stagesOf(config, parts));
  const slots = layOutSlots(whole, { units, tied: config.tieWordEmbeddings });
  const layouts = {
    weights: streamed?.weights ? slots : whole,
    gradients: streamed?.gradients ? slots : whole,
  };
  return { whole, units, slotOf: slots.slotOf, layouts };
}
