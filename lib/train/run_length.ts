/**
 * How long a run is: its batches and steps, and the settings that follow from them.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { formatCount, formatInteger } from "../base/format.ts";
import { BatchRamp } from "../data/ramp.ts";
import type { Recipe } from "../model/recipe.ts";
import type { Resolver } from "./request_layers.ts";

/** Rows that a micro-batch has by default: enough that products are large, few enough for caches. */
const MICRO_BATCH_ROWS = 4096;
/** What a run's length follows from where it is not asked for. */
export interface LengthSurroundings {
  /** The numbers of the preset, or of one like the model. */
  readonly recipe: Recipe;
  /** What the recipe is called, for origins. */
  readonly origin: string;
  /** Most tokens that the epochs of the data allow, where they say. */
  readonly tokensOfData?: (() => number | undefined) | undefined;
}

/**
 * Takes batches and steps, what follows from them (micro-batch, rise and fall of the rate), and refuses
 * a run without a step.
 *
 * @throws {ConfigError} Where steps and tokens are both asked for, or tokens are fewer than a batch.
 */
export function takeLength(
  resolver: Resolver,
  { recipe, origin, tokensOfData }: LengthSurroundings,
): void {
  const asked = resolver.layerOf("batchTokens") ?? resolver.layerOf("seqLen");
  const seqLen = resolver.values.seqLen as number;
  const sameLength = seqLen === recipe.seqLen;
  const batchTokens = resolver.take(
    "batchTokens",
    sameLength ? recipe.batchTokens : Math.max(1, Math.round(recipe.batchTokens / seqLen)) * seqLen,
    sameLength ? origin : `the batch of ${origin} in sequences of ${seqLen}`,
  );
  // The ramp of a recipe begins with its batch: another batch has none.
  const ramp = resolver.take(
    "batchRamp",
    asked ? [] : recipe.batchRamp,
    asked ? "default" : origin,
  );
  const batches = new BatchRamp({ seqLen, batchTokens, batchRamp: ramp });
  takeSteps(resolver, { batches, recipe, origin, tokensOfData });
  const most = Math.max(1, Math.floor(MICRO_BATCH_ROWS / batches.largest.seqLen));
  const isTree = resolver.requested("reduce") === "tree";
  resolver.take(
    "microBatch",
    isTree ? 1 : Math.min(most, batches.largest.sequences),
    isTree ? "one sequence, which every number of replicas has whole" : "default",
  );
}

function takeSteps(
  resolver: Resolver,
  { batches, recipe, origin, tokensOfData }: LengthSurroundings & { readonly batches: BatchRamp },
): void {
  if (resolver.isAskedByOne("tokens", "steps")) {
    throw new ConfigError("Cannot train for both --steps and --tokens: one was wanted");
  }
  const layer = resolver.isRatherAsked("tokens", "steps") ? resolver.layerOf("tokens") : undefined;
  const tokens = layer?.settings.tokens;
  const isOpen = tokens === undefined && resolver.requested("steps") === undefined;
  const ofData = isOpen ? tokensOfData?.() : undefined;
  const total = tokens ?? ofData ?? recipe.tokens;
  const steps = batches.stepsOf(total);
  const taken = layer !== undefined
    ? resolver.set("steps", steps, `${formatInteger(total)} tokens, ${layer.origin("tokens")}`)
    : resolver.take(
      "steps",
      steps,
      ofData !== undefined
        ? `${formatInteger(ofData)} tokens, the epochs of the data`
        : `${formatCount(total)} tokens, ${origin}`,
    );
  if (taken < 1) {
    throw new ConfigError(
      `Cannot train for ${formatInteger(total)} tokens: a batch alone has ` +
        `${formatInteger(batches.tokensBefore(1))}`,
      { hint: "lower --batch-tokens, or give more --tokens" },
    );
  }
  shorten(resolver, taken);
}

/** A rise that a recipe made for a longer run would take up a short one: a tenth is enough. */
function shorten(resolver: Resolver, steps: number): void {
  const tenth = Math.floor(steps / 10);
  for (const name of ["warmup", "hold"] as const) {
    if (resolver.requested(name) !== undefined) continue;
    if ((resolver.values[name] as number) <= tenth) continue;
    const scheduled = name === "hold" && resolver.values.schedule === "inverse-sqrt";
    if (scheduled && (resolver.values[name] as number) <= steps) continue;
    const before = resolver.origins.get(name);
    resolver.set(name, tenth, `a tenth of the steps, fewer than ${before}`);
  }
  resolver.take("decay", Math.max(1, Math.floor(steps / 5)), "a fifth of the steps");
}
