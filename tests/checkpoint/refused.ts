/**
 * What a model that is refused must say.
 *
 * @module
 */

import assert from "node:assert/strict";
import { LlameroError } from "../../lib/base/errors.ts";
import { openCheckpoint, type OpenCheckpointOptions } from "../../lib/checkpoint/open.ts";
import { tensor, type Tensors } from "./small_model.ts";

/** What a refusal must say. */
export interface Refusal {
  /** The name of the error's class. */
  readonly kind: string;
  /** What the message matches. */
  readonly message: RegExp;
  /** What the hint matches; none is looked at without it. */
  readonly hint?: RegExp;
}

/** Expects the error of one line that names the file. */
export async function refused(
  path: string,
  wanted: Refusal,
  options: OpenCheckpointOptions = {},
): Promise<void> {
  const open = () => openCheckpoint(path, options);
  await assert.rejects(async () => await open(), (error: unknown) => {
    assert.ok(error instanceof LlameroError, `not of our family: ${error}`);
    assert.equal(error.name, wanted.kind, error.message);
    assert.match(error.message, wanted.message);
    assert.match(error.message, /^Cannot (open|read|use) "/);
    assert.ok(!error.message.includes("\n"), "the message has more than one line");
    if (wanted.hint !== undefined) assert.match(error.hint ?? "", wanted.hint);
    return true;
  });
}

/** Puts a tensor of another shape in the place of one. */
export const reshaped = (name: string, ...shape: number[]): (all: Tensors) => void => (all) => {
  all.set(name, tensor(name, shape));
};
