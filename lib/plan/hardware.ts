/**
 * Machines that runs are planned for, and what published runs have reached on them.
 *
 * @module
 */

import { UsageError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import { quoted } from "../base/quoted.ts";

/** One device of a kind. */
export interface Hardware {
  /** The name that `--hardware` takes. */
  readonly name: string;
  /** What it is. */
  readonly title: string;
  /** Peak dense bf16 operations per second, as the maker says. */
  readonly peakFlops: number;
  /** Bytes of its memory. */
  readonly memory: number;
  /** Share of the peak that well-made training reaches, where no paper says it of the model. */
  readonly usualMfu: number;
}

/** Makers' figures: NVIDIA's data sheets without sparsity; Jouppi et al. 2023 for TPU v4. */
const HARDWARE: readonly Hardware[] = [
  ["a100-40gb", "NVIDIA A100 40 GB", 312e12, 40e9, 0.5],
  ["a100-80gb", "NVIDIA A100 80 GB", 312e12, 80e9, 0.5],
  ["h100-80gb", "NVIDIA H100 SXM 80 GB", 989.4e12, 80e9, 0.42],
  ["h200", "NVIDIA H200 141 GB", 989.4e12, 141e9, 0.45],
  ["tpu-v4", "Google TPU v4", 275e12, 32e9, 0.46],
].map(([name, title, peakFlops, memory, usualMfu]) => ({
  name,
  title,
  peakFlops,
  memory,
  usualMfu,
} as Hardware));

/** Names that `--hardware` takes. */
export const HARDWARE_NAMES: readonly string[] = HARDWARE.map(({ name }) => name);

/** The device of a name. @throws {UsageError} Where there is none. */
export function hardwareOf(name: string): Hardware {
  const found = HARDWARE.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new UsageError(`Cannot plan for ${quoted(name)}: no machine of this name is known`, {
    hint: didYouMean(name, HARDWARE_NAMES) ?? `known are ${HARDWARE_NAMES.join(", ")}`,
  });
}

/** What a paper says that its run reached. */
export interface PublishedRun {
  /** The preset. */
  readonly preset: string;
  /** The devices. */
  readonly hardware: string;
  /** How many of them. */
  readonly devices: number;
  /** Tokens per second of one device, where the paper says it. */
  readonly tokensPerSecond?: number;
  /** Operations per second of one device, where the paper says that. */
  readonly flops?: number;
  /** Where. */
  readonly source: string;
}

/** Runs whose speed was published. */
export const PUBLISHED_RUNS: readonly PublishedRun[] = [
  {
    preset: "llama1-65b",
    hardware: "a100-80gb",
    devices: 2048,
    tokensPerSecond: 380,
    source: "Touvron et al. 2023, section 2.4",
  },
  {
    preset: "tinyllama-1.1b",
    hardware: "a100-40gb",
    devices: 16,
    tokensPerSecond: 24_000,
    source: "Zhang et al. 2024, section 2.3",
  },
  {
    preset: "palm-540b",
    hardware: "tpu-v4",
    devices: 6144,
    tokensPerSecond: 238_300 / 6144,
    source: "Chowdhery et al. 2022, section 4",
  },
  {
    preset: "llama3.1-405b",
    hardware: "h100-80gb",
    devices: 16_384,
    flops: 400e12,
    source: "Grattafiori et al. 2024, table 4",
  },
];

/** What was published of a preset on a kind of device. */
export function publishedRun(
  preset: string | undefined,
  hardware: string,
): PublishedRun | undefined {
  return PUBLISHED_RUNS.find((run) => run.preset === preset && run.hardware === hardware);
}
