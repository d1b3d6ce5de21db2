/**
 * What a preset is: a complete config and recipe under a name.
 *
 * @module
 */

import type { ModelConfig } from "./config.ts";
import type { Recipe } from "./recipe.ts";

/** A model and how it was trained. */
export interface Preset {
  /** The name that `--preset` takes. */
  readonly name: string;
  /** One line for lists. */
  readonly summary: string;
  /** Whether the vocabulary is the model's own, or taken from the tokenizer at hand. */
  readonly vocabulary: "fixed" | "from tokenizer";
  /** The model. */
  readonly config: ModelConfig;
  /** The training. */
  readonly recipe: Recipe;
}

/** How a preset differs from another; what is absent stays. */
export interface PresetDifference {
  /** The new name. */
  readonly name: string;
  /** The new line for lists. */
  readonly summary: string;
  /** Where the vocabulary comes from, where that changes. */
  readonly vocabulary?: Preset["vocabulary"];
  /** What changes in the model. */
  readonly config?: Partial<ModelConfig>;
  /** What changes in the training. */
  readonly recipe?: Partial<Recipe>;
}

/** Derives a complete preset from another by its difference. */
export function vary(base: Preset, difference: PresetDifference): Preset {
  return {
    ...base,
    ...difference,
    config: { ...base.config, ...difference.config },
    recipe: { ...base.recipe, ...difference.recipe },
  };
}
