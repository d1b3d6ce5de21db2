/**
 * What decides a run's future besides weights and moments: `training/state.json` of a checkpoint.
 *
 * @module
 */

import * as v from "valibot";
import { FormatError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import type { Skip } from "../data/order.ts";
import { EMPTY_WINDOW, type SpikeWindow } from "./spikes.ts";

/** Where a run stands between two steps. */
export interface TrainState {
  /** Steps done: the next one, from 0. */
  readonly step: number;
  /** Tokens of these steps. */
  readonly tokens: number;
  /** Updates done: steps less those whose gradients were not finite. */
  readonly updates: number;
  /** Steps just before this one whose gradients were not finite. */
  readonly dropped: number;
  /** Skips that recoveries from spikes have added. */
  readonly recoveries: readonly Skip[];
  /** What spikes are judged by. */
  readonly window: SpikeWindow;
}

/** The state of a run that begins. */
export const FIRST_STATE: TrainState = {
  step: 0,
  tokens: 0,
  updates: 0,
  dropped: 0,
  recoveries: [],
  window: EMPTY_WINDOW,
};

const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const numbers = v.array(v.number());

const SCHEMA: v.GenericSchema<unknown, TrainState> = v.object({
  step: whole,
  tokens: whole,
  updates: whole,
  dropped: whole,
  recoveries: v.array(v.object({ step: whole, batches: whole })),
  window: v.object({ losses: numbers, norms: numbers }),
});

/** Checks a state that was read. @throws {FormatError} Where it is none. */
export function checkState(value: unknown, file: string): TrainState {
  const result = v.safeParse(SCHEMA, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const key = (issue.path ?? []).map(({ key }) => String(key)).join(".");
  throw new FormatError(
    `Cannot read ${quotedPath(file)}: "${key}" is ${issue.received}, ${issue.expected} was wanted`,
    { file },
  );
}
