/**
 * Which element type each weight gets in another format.
 *
 * Without a choice every weight keeps its own, so that converting there and back gives the same
 * bytes. Two formats have rules of their own: GGUF keeps norms in float32, llama2.c everything.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import type { FloatName } from "../model/config_huggingface.ts";
import { type WeightSpec, weightSpecs } from "../model/weights.ts";
import { isExactIn, isFloat } from "./cast.ts";
import type { Checkpoint, CheckpointFormat } from "./checkpoint.ts";

/** The key of a GGUF file that says which types its norms had, where that cannot be told from them. */
export const NORM_TYPES_KEY = "llamero.norm_types";

/** Where to, and with which type. */
export interface TargetTypeOptions {
  /** The format of the target. */
  readonly to: CheckpointFormat;
  /** The type of all weights; without it each keeps its own. */
  readonly dtype?: FloatName | undefined;
}

const isNorm = (spec: WeightSpec): boolean => spec.shape.length === 1;

/** The record of a weight: an open checkpoint has all of them. */
function dtypeOf(source: Checkpoint, spec: WeightSpec): string {
  return source.tensors.get(spec.name)!.dtype;
}

/**
 * The element type of every weight in the target, by canonical name. Blocks stay blocks from GGUF to
 * GGUF, and become float32, which holds their numbers exactly, in the formats that have none.
 *
 * @throws {ConfigError} Where the format does not hold the type.
 */
export function targetTypes(
  source: Checkpoint,
  { to, dtype }: TargetTypeOptions,
): Map<string, string> {
  if (to === "llama2c" && dtype !== undefined && dtype !== "f32") {
    throw new ConfigError(
      `Cannot convert ${quotedPath(source.path)} to llama2.c: the format holds f32 alone, ` +
        `${dtype} was wanted`,
      { hint: "leave out --dtype" },
    );
  }
  const specs = weightSpecs(source.config);
  const each = (typeOf: (spec: WeightSpec) => string) =>
    new Map(specs.map((spec) => [spec.name, typeOf(spec)]));
  const own = (spec: WeightSpec) => dtype ?? dtypeOf(source, spec);
  switch (to) {
    case "llama2c":
      return each(() => "f32");
    case "gguf":
      return each((spec) => isNorm(spec) ? "f32" : own(spec));
    default: {
      const matrices = matrixTypes(source);
      if (dtype !== undefined) return each(() => dtype);
      if (matrices.some((type) => !isFloat(type))) return each(() => "f32");
      const norms = source.format === "gguf" ? normTypes(source) : undefined;
      return each((spec) => norms?.get(spec.name) ?? own(spec));
    }
  }
}

/** The types of the matrices, each once. */
function matrixTypes(source: Checkpoint): string[] {
  const matrices = weightSpecs(source.config).filter((spec) => !isNorm(spec));
  return [...new Set(matrices.map((spec) => dtypeOf(source, spec)))];
}

/** The types that the norms of a GGUF file had before they became float32. */
function normTypes(source: Checkpoint): Map<string, string> {
  const norms = weightSpecs(source.config).filter(isNorm);
  const stated = source.metadata.get(NORM_TYPES_KEY) as { readonly value?: unknown } | undefined;
  const list: unknown[] = Array.isArray(stated?.value) ? stated.value : [];
  const isSaid = list.length === norms.length &&
    list.every((type) => typeof type === "string" && isFloat(type));
  const likely = isSaid ? undefined : likelyNormType(source);
  return new Map(norms.map((spec, i) => {
    const type = (likely ?? list[i]) as FloatName;
    return [spec.name, isExactIn(source.tensors.get(spec.name)!, type) ? type : "f32"];
  }));
}

/** Models have one type throughout: it is the norms' too where it holds all their numbers. */
function likelyNormType(source: Checkpoint): FloatName {
  const [type = "f32", ...others] = matrixTypes(source);
  if (others.length > 0 || !isFloat(type)) return "f32";
  const norms = weightSpecs(source.config).filter(isNorm);
  const holds = norms.every((spec) => isExactIn(source.tensors.get(spec.name)!, type));
  return holds ? type : "f32";
}

/**
 * The types of a model's norms where a reader of its GGUF file would guess others, or `undefined`:
 * what `llamero.norm_types` is to say.
 */
export function unlikelyNormTypes(source: Checkpoint): string[] | undefined {
  const norms = weightSpecs(source.config).filter(isNorm);
  const types = norms.map((spec) => dtypeOf(source, spec));
  const likely = likelyNormType(source);
  return types.every((type) => type === likely) ? undefined : types;
}
