/**
 * Settings that the command line writes in a form of their own.
 *
 * @module
 */

import type { Skip } from "../data/order.ts";
import type { BatchStage } from "../model/recipe.ts";
import type { DataSetting } from "./settings.ts";

const NUMBER = String.raw`\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?`;
const DATA = new RegExp(`^(.+?)(?:=(${NUMBER})?(?::(${NUMBER}))?)?$`, "i");

/**
 * Reads `PREFIX[=WEIGHT[:MAX_EPOCHS]]`; the weight may be empty where the epochs tell it. `undefined`
 * where it is none.
 */
export function parseDataSetting(text: string): DataSetting | undefined {
  const match = DATA.exec(text);
  if (match === null) return undefined;
  const [, path, weight, epochs] = match;
  // A path with an equals sign that no number follows is a mistake more often than a name.
  if (path!.includes("=") || (text.endsWith("=") && weight === undefined)) return undefined;
  if (Number(weight) === 0 || Number(epochs) === 0) return undefined;
  return {
    path: path!,
    ...(weight === undefined ? {} : { weight: Number(weight) }),
    ...(epochs === undefined ? {} : { epochs: Number(epochs) }),
  };
}

/** Reads `STEP:TOKENS[:SEQ_LEN],…`; `undefined` where it is none. */
export function parseBatchRamp(text: string): BatchStage[] | undefined {
  const stages = text.split(",").map((part) => {
    const match = /^(\d+):(\d+)(?::(\d+))?$/.exec(part.trim());
    if (match === null) return undefined;
    const [fromStep, batchTokens, seqLen] = match.slice(1).map(Number) as [number, number, number];
    if (!(fromStep >= 1 && batchTokens >= 1)) return undefined;
    return { fromStep, batchTokens, ...(match[3] === undefined ? {} : { seqLen }) };
  });
  return stages.every((stage) => stage !== undefined) ? stages : undefined;
}

/** Reads `STEP:BATCHES,…`; `undefined` where it is none. */
export function parseSkips(text: string): Skip[] | undefined {
  const skips = text.split(",").map((part) => {
    const match = /^(\d+):(\d+)$/.exec(part.trim());
    if (match === null || Number(match[2]) < 1) return undefined;
    return { step: Number(match[1]), batches: Number(match[2]) };
  });
  return skips.every((skip) => skip !== undefined) ? skips : undefined;
}
