/**
 * The memory of a model that trains, taken as it was planned.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import { BackendError } from "../../base/errors.ts";
import { formatMemory } from "../../base/format.ts";
import type { ModelConfig } from "../config.ts";
import { PlannedMemory } from "../memory_plan.ts";
import { type BlockRecord, gateUpAt, RECORD_NAMES } from "./kept.ts";
import { activationSizes, planTrainingBytes } from "./memory.ts";
import type { TrainingOptions } from "./trainable.ts";

/** Memory that lives as long as the model. */
export type ArenaName = "weights" | "gradients" | "compute" | "packed";

/** The arenas, one allocation each: a backend may have none as large as all of them. */
export class ArenaMemory {
  /** First byte of each; 0 where there is none. */
  readonly at: Readonly<Record<ArenaName, Address>>;
  readonly #backend: Backend;
  #taken: Address[] = [];

  /** Takes arenas of the given sizes. @throws {BackendError} When there is no memory left. */
  constructor(backend: Backend, bytes: Readonly<Record<ArenaName, number>>) {
    this.#backend = backend;
    const take = (name: ArenaName) => {
      if (bytes[name] === 0) return 0;
      const address = backend.alloc(bytes[name]);
      this.#taken.push(address);
      return address;
    };
    try {
      this.at = {
        weights: take("weights"),
        gradients: take("gradients"),
        compute: take("compute"),
        packed: take("packed"),
      };
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Gives them back; does nothing the second time. */
  close(): void {
    for (const address of this.#taken.splice(0)) this.#backend.free(address);
  }
}

/** Takes all memory, or none. @throws {BackendError} When the backend has too little. */
export function reserve(
  backend: Backend,
  { config, ...options }: TrainingOptions & { readonly config: ModelConfig },
): [ArenaMemory, PlannedMemory<string>] {
  const bytes = planTrainingBytes(config, options);
  const sizes = activationSizes(config, options);
  let arenas: ArenaMemory | undefined;
  try {
    arenas = new ArenaMemory(backend, bytes);
    const all = { ...sizes.kept, ...sizes.working, ...sizes.head };
    return [arenas, new PlannedMemory(backend, all)];
  } catch (cause) {
    arenas?.close();
    if (!(cause instanceof BackendError)) throw cause;
    throw new BackendError(
      `Cannot train on ${options.maxRows} tokens at once: weights, gradients and copies take ` +
        `${formatMemory(bytes.weights + bytes.gradients + bytes.compute + bytes.packed)}, ` +
        `activations ${formatMemory(bytes.kept + bytes.working + bytes.head)}, ` +
        `and the ${backend.name} backend has not that much memory`,
      { cause, hint: "take a smaller --micro-batch, or --recompute selective or full" },
    );
  }
}

/** Records of so many blocks: what each keeps for itself, and what all share. */
export function recordsOf(
  config: ModelConfig,
  { at, count }: { readonly at: Readonly<Record<string, Address>>; readonly count: number },
): BlockRecord[] {
  return Array.from({ length: count }, (_, layer) => {
    const entries = RECORD_NAMES.map((name) => [name, at[`${layer}.${name}`] ?? at[name]!]);
    const record = Object.fromEntries(entries) as BlockRecord;
    if (!config.parallelBlock) return record;
    return { ...record, gateUp_T2F: record.qkv_TM + gateUpAt(config) };
  });
}
