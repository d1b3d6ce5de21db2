/**
 * How GGUF says that rotary frequencies are stretched, both ways: in keys, and in the tensor
 * `rope_freqs.weight` of what each frequency is divided by.
 *
 * Of a Llama's keys llama.cpp reads the type, the factor, the first positions and what cosines are
 * multiplied by. A YaRN with bounds other than the usual ones is written as a tensor, therefore, with
 * the rule behind it in keys that llama.cpp passes over.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import type { GgufValue } from "../formats/gguf_types.ts";
import { ggufFloat, ggufInteger, ggufString } from "../formats/gguf_values.ts";
import type { ModelConfig } from "./config.ts";
import { decimal, type GgufDescription, refuseKey } from "./gguf_description.ts";
import { ropeFrequencies, yarnBlend } from "./rope.ts";
import {
  type LinearRopeScaling,
  type Llama3RopeScaling,
  type RopeScaling,
  yarnMagnitude,
  type YarnRopeScaling,
} from "./rope_scaling.ts";

const KEYS = {
  type: "llama.rope.scaling.type",
  factor: "llama.rope.scaling.factor",
  olderFactor: "llama.rope.scale_linear",
  magnitude: "llama.rope.scaling.attn_factor",
  originalMaxPositionEmbeddings: "llama.rope.scaling.original_context_length",
  lowFreqFactor: "llama.rope.scaling.low_freq_factor",
  highFreqFactor: "llama.rope.scaling.high_freq_factor",
  betaFast: "llama.rope.scaling.yarn_beta_fast",
  betaSlow: "llama.rope.scaling.yarn_beta_slow",
  extrapolation: "llama.rope.scaling.yarn_ext_factor",
  attentionFactor: "llama.rope.scaling.yarn_attn_factor",
  logMultiplier: "llama.rope.scaling.yarn_log_multiplier",
} as const;

/** The tensor of factors. */
const TENSOR = '"rope_freqs.weight"';

/** What a file without keys for Llama 3.1's rule means. */
const USUAL_RULE = { originalMaxPositionEmbeddings: 8192, lowFreqFactor: 1, highFreqFactor: 4 };

/** What YaRN's bounds are in llama.cpp. */
const USUAL_BOUNDS = { betaFast: 32, betaSlow: 1 };

/** Relative error that float32 powers in a writer's formula leave. */
const TOLERANCE = 1e-4;

/** What is known of a file's rotary positions besides its keys. */
export interface KnownRope {
  /** Values of the tensor of factors. */
  readonly ropeFactors?: Float32Array | undefined;
  /** Base of the frequencies. */
  readonly ropeTheta: number;
  /** Width of a head. */
  readonly headDim: number;
}

/**
 * Reads how frequencies are stretched; `undefined` where they are not.
 *
 * @throws {ConfigError} For a scaling that is not known, or a tensor that follows no known rule.
 */
export function readGgufRope(file: GgufDescription, known: KnownRope): RopeScaling | undefined {
  const type = ggufString(file, KEYS.type) ?? "linear";
  const { ropeFactors } = known;
  if (type === "yarn") {
    if (ropeFactors === undefined) return readYarn(file);
    refuseKey(file, { key: KEYS.type, is: type, wanted: `"none" beside a tensor ${TENSOR}` });
  }
  if (type !== "linear" && type !== "none") {
    refuseKey(file, { key: KEYS.type, is: type, wanted: '"linear", "yarn" or "none"' });
  }
  if (ropeFactors !== undefined && type === "none" && file.metadata.has(KEYS.betaFast)) {
    return readBakedYarn(file, { ...known, ropeFactors });
  }
  const magnitude = ggufFloat(file, KEYS.magnitude) ?? 1;
  if (magnitude !== 1) {
    refuseKey(file, { key: KEYS.magnitude, is: magnitude, wanted: "1 without YaRN" });
  }
  const linear = type === "none" ? undefined : readLinear(file);
  if (ropeFactors === undefined) return linear;
  if (linear !== undefined) {
    refuseKey(file, { key: KEYS.factor, is: linear.factor, wanted: `1 beside a tensor ${TENSOR}` });
  }
  return readLlama3(file, { ...known, ropeFactors });
}

/** As llama.cpp takes it: the older key counts where it is alone. */
function readLinear(file: GgufDescription): LinearRopeScaling | undefined {
  const factor = readFactor(file);
  return factor === 1 ? undefined : { type: "linear", factor };
}

function readFactor(file: GgufDescription): number {
  const factor = ggufFloat(file, KEYS.factor) ?? ggufFloat(file, KEYS.olderFactor) ?? 1;
  // Files say 0 for no scaling too.
  return factor === 0 ? 1 : decimal(factor);
}

/** A YaRN in keys; those which llama.cpp's converter writes and llama.cpp passes over count too. */
function readYarn(file: GgufDescription): YarnRopeScaling {
  const extrapolation = ggufFloat(file, KEYS.extrapolation) ?? 1;
  // Below 0 it is not set.
  if (extrapolation !== 1 && !(extrapolation < 0)) {
    refuseKey(file, { key: KEYS.extrapolation, is: extrapolation, wanted: "1" });
  }
  const logMultiplier = ggufFloat(file, KEYS.logMultiplier) ?? 0;
  if (logMultiplier !== 0) {
    refuseKey(file, { key: KEYS.logMultiplier, is: logMultiplier, wanted: "0" });
  }
  const rule = readYarnRule(file);
  const usual = yarnMagnitude(rule.factor);
  const said = ggufFloat(file, KEYS.attentionFactor) ?? 1;
  const ratio = ggufFloat(file, KEYS.magnitude) ?? 1;
  // The first is 1 in a file that llama.cpp saved, and Hugging Face's field in one it converted.
  if (said !== 1) {
    if (ratio !== 1) {
      refuseKey(file, {
        key: KEYS.magnitude,
        is: ratio,
        wanted: `1 beside "${KEYS.attentionFactor}"`,
      });
    }
    return { ...rule, attentionFactor: decimal(said) };
  }
  const short = Number((usual * ratio).toPrecision(6));
  const isShort = Math.fround(short / usual) === ratio;
  return { ...rule, attentionFactor: ratio === 1 ? usual : isShort ? short : usual * ratio };
}

function readYarnRule(file: GgufDescription): Omit<YarnRopeScaling, "attentionFactor"> {
  const float = (key: "betaFast" | "betaSlow") =>
    decimal(ggufFloat(file, KEYS[key]) ?? USUAL_BOUNDS[key]);
  return {
    type: "yarn",
    factor: readFactor(file),
    betaFast: float("betaFast"),
    betaSlow: float("betaSlow"),
    originalMaxPositionEmbeddings: ggufInteger(file, KEYS.originalMaxPositionEmbeddings) ??
      ggufInteger(file, "llama.context_length")!,
    truncate: true,
  };
}

type KnownFactors = KnownRope & { readonly ropeFactors: Float32Array };

/** A YaRN whose frequencies stand in the tensor, and its rule in keys. */
function readBakedYarn(file: GgufDescription, known: KnownFactors): YarnRopeScaling {
  const rule = readYarnRule(file);
  const usual = yarnMagnitude(rule.factor);
  const magnitude = ggufFloat(file, KEYS.magnitude) ?? 1;
  const attentionFactor = Math.fround(usual) === magnitude ? usual : decimal(magnitude);
  for (const truncate of [true, false]) {
    const scaling = { ...rule, attentionFactor, truncate };
    if (areFactorsOf(scaling, known)) return scaling;
  }
  throw new ConfigError(
    `Cannot read ${quotedPath(file.path)}: the factors of tensor ${TENSOR} are not those of ` +
      `YaRN's rule (${rule.originalMaxPositionEmbeddings} positions, factor ${rule.factor}, ` +
      `${rule.betaFast} and ${rule.betaSlow} turns), which were wanted`,
  );
}

function readLlama3(
  file: GgufDescription,
  known: KnownFactors,
): Llama3RopeScaling | undefined {
  const rule = readLlama3Rule(file);
  const scaling = llama3Of(known.ropeFactors, { ...known, rule });
  if (scaling !== null) return scaling;
  throw new ConfigError(
    `Cannot read ${quotedPath(file.path)}: the factors of tensor ${TENSOR} are not those ` +
      `of Llama 3.1's rule (${rule.originalMaxPositionEmbeddings} positions, factors ` +
      `${rule.lowFreqFactor} and ${rule.highFreqFactor}), which were wanted`,
  );
}

type Llama3Rule = Omit<Llama3RopeScaling, "type" | "factor">;

/** The bounds between which frequencies are stretched: the published models', where none are said. */
function readLlama3Rule(file: GgufDescription): Llama3Rule {
  const float = (key: "lowFreqFactor" | "highFreqFactor") =>
    decimal(ggufFloat(file, KEYS[key]) ?? USUAL_RULE[key]);
  return {
    originalMaxPositionEmbeddings: ggufInteger(file, KEYS.originalMaxPositionEmbeddings) ??
      USUAL_RULE.originalMaxPositionEmbeddings,
    lowFreqFactor: float("lowFreqFactor"),
    highFreqFactor: float("highFreqFactor"),
  };
}

/** The scaling that gives these factors, `undefined` where they are all 1, `null` for no such. */
function llama3Of(
  factors: Float32Array,
  rope: { readonly ropeTheta: number; readonly headDim: number; readonly rule: Llama3Rule },
): Llama3RopeScaling | undefined | null {
  const { rule } = rope;
  const plain = ropeFrequencies(rope);
  if (factors.length !== plain.length) return null;
  if (factors.every((value) => value === 1)) return undefined;
  const { lowFreqFactor: low, highFreqFactor: high } = rule;
  // The lowest frequency is stretched most: 1/value = (1 - kept)/factor + kept, solved for factor.
  const turns = (rule.originalMaxPositionEmbeddings * plain.at(-1)!) / (2 * Math.PI);
  const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
  const factor = (1 - kept) / (1 / factors.at(-1)! - kept);
  if (!(factor > 1 && Number.isFinite(factor))) return null;
  const ropeScaling: Llama3RopeScaling = {
    type: "llama3",
    factor: kept === 0 ? decimal(factor) : Number(factor.toPrecision(5)),
    ...rule,
  };
  return areFactorsOf(ropeScaling, { ...rope, ropeFactors: factors }) ? ropeScaling : null;
}

function areFactorsOf(ropeScaling: RopeScaling, { ropeFactors, ...rope }: KnownFactors): boolean {
  const wanted = factorsOf({ ...rope, ropeScaling });
  return ropeFactors.length === wanted.length &&
    ropeFactors.every((value, i) => Math.abs(value - wanted[i]!) <= TOLERANCE * wanted[i]!);
}

/** What plain frequencies are divided by [headDim/2]. */
function factorsOf(
  config: Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">,
): Float64Array {
  const { headDim, ropeTheta } = config;
  const stretched = ropeFrequencies(config);
  return ropeFrequencies({ headDim, ropeTheta }).map((frequency, i) => frequency / stretched[i]!);
}

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value: Math.fround(value) });
const text = (value: string): GgufValue => ({ type: "string", value });

/** The keys under `llama.rope.scaling`; none for a scaling that GGUF has not. */
export function ggufRopeKeys(config: ModelConfig): [string, GgufValue][] {
  const { ropeScaling: scaling } = config;
  switch (scaling?.type) {
    case "linear":
      return [[KEYS.type, text("linear")], [KEYS.factor, f32(scaling.factor)]];
    case "llama3":
      return llama3Keys(scaling);
    case "yarn":
      return yarnKeys(scaling, isBaked(config));
    default:
      return [];
  }
}

/** The rule behind the tensor, where it is not the published models'. */
function llama3Keys(scaling: Llama3RopeScaling): [string, GgufValue][] {
  const { originalMaxPositionEmbeddings: original } = scaling;
  const keys: [string, GgufValue][] = [];
  if (original !== USUAL_RULE.originalMaxPositionEmbeddings) {
    keys.push([KEYS.originalMaxPositionEmbeddings, u32(original)]);
  }
  for (const key of ["lowFreqFactor", "highFreqFactor"] as const) {
    if (scaling[key] !== USUAL_RULE[key]) keys.push([KEYS[key], f32(scaling[key])]);
  }
  return keys;
}

function yarnKeys(scaling: YarnRopeScaling, baked: boolean): [string, GgufValue][] {
  const { factor, attentionFactor, originalMaxPositionEmbeddings: original } = scaling;
  const rule: [string, GgufValue][] = [
    [KEYS.factor, f32(factor)],
    [KEYS.originalMaxPositionEmbeddings, u32(original)],
  ];
  if (baked) {
    return [
      [KEYS.type, text("none")],
      ...rule,
      [KEYS.magnitude, f32(attentionFactor)],
      [KEYS.betaFast, f32(scaling.betaFast)],
      [KEYS.betaSlow, f32(scaling.betaSlow)],
    ];
  }
  // llama.cpp multiplies by the usual magnitude and by this.
  const ratio = attentionFactor / yarnMagnitude(factor);
  return [
    [KEYS.type, text("yarn")],
    ...rule,
    ...(ratio === 1 ? [] : [[KEYS.magnitude, f32(ratio)] as [string, GgufValue]]),
  ];
}

/** Whether a YaRN is one that llama.cpp does not find by its keys. */
function isBaked(config: ModelConfig): boolean {
  const { ropeScaling: scaling } = config;
  if (scaling?.type !== "yarn") return false;
  const { first, last } = yarnBlend(scaling, config);
  const { betaFast, betaSlow } = USUAL_BOUNDS;
  return scaling.betaFast !== betaFast || scaling.betaSlow !== betaSlow || !scaling.truncate ||
    last < first;
}

/**
 * The values of the tensor `rope_freqs.weight` [headDim/2]: what each rotary frequency is divided by,
 * `theta^(-2i/headDim) / frequency[i]`; `undefined` where keys say it all.
 */
export function ggufRopeFactors(config: ModelConfig): Float32Array<ArrayBuffer> | undefined {
  if (config.ropeScaling?.type !== "llama3" && !isBaked(config)) return undefined;
  return Float32Array.from(factorsOf(config));
}
