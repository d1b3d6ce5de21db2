/**
 * Opening the data of a run, and the question whether its memory is there: all that can be refused is
 * refused before memory is taken.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { LlameroError } from "../base/errors.ts";
import { formatMemory } from "../base/format.ts";
import { TrainingData } from "../data/batches.ts";
import { BatchRamp } from "../data/ramp.ts";
import { type ResolvedShares, resolveShares } from "../data/shares.ts";
import { TokenSource } from "../data/token_source.ts";
import { mostTrainingRows, planTrainingBytes } from "../model/training/memory.ts";
import type { TrainingBytes } from "../model/training/trainable.ts";
import { identityOf, type RunIdentity } from "./identity.ts";
import { meshOfOne, type MeshPlace, rankOptions } from "./machine.ts";
import { planRank } from "./rank_plan.ts";
import type { RunConfig } from "./run_config.ts";
import type { TrainSettings } from "./settings.ts";

/** The open data of a run. */
export interface RunData {
  /** The batches of every step. */
  readonly training: TrainingData;
  /** The sources, in the order of the settings. */
  readonly sources: readonly TokenSource[];
  /** Share and epochs of each source. */
  readonly shares: ResolvedShares;
  /** What is evaluated on. */
  readonly evaluation: readonly TokenSource[];
  /** Closes all files. */
  close(): void;
}

/**
 * Opens the data of a run.
 *
 * @throws {ConfigError} Where a source would be seen more often than it may.
 * @throws {LlameroError} Where a dataset is not consistent, or shorter than a sequence.
 */
export function openRunData({ settings, model }: RunConfig): RunData {
  using opened = new DisposableStack();
  const open = (path: string) => opened.use(TokenSource.open(path));
  const sources = settings.data.map(({ path }) => open(path));
  const evaluation = settings.evalData.map(open);
  const ramp = new BatchRamp(settings);
  const asked = settings.data.map((source, i) => ({
    ...source,
    name: source.path,
    tokens: sources[i]!.tokens,
  }));
  for (const source of [...sources, ...evaluation]) source.windows(settings.seqLen);
  const shares = resolveShares(asked, ramp.tokensBefore(settings.steps));
  const training = new TrainingData({
    seed: settings.seed,
    ramp,
    vocabSize: model.vocabSize,
    documentMask: settings.documentMask,
    sources: sources.map((source, i) => ({ source, weight: shares.shares[i]!.weight })),
  });
  const files = opened.move();
  return { training, sources, shares, evaluation, close: () => files.dispose() };
}

/** Most tokens that the epochs of the data allow; `undefined` where they say nothing. */
export function tokensOfData(data: TrainSettings["data"]): number | undefined {
  if (data.every(({ epochs }) => epochs === undefined)) return undefined;
  return sharesOfData(data).total;
}

/**
 * Share and epochs of each source in a run of so many tokens, or of as many as the epochs allow.
 *
 * @throws {ConfigError} Where a source would be seen more often than it may.
 * @throws {LlameroError} Where a dataset cannot be read.
 */
export function sharesOfData(data: TrainSettings["data"], total?: number): ResolvedShares {
  const sources = data.map((source) => {
    using open = TokenSource.open(source.path);
    return { ...source, name: source.path, tokens: open.tokens };
  });
  return resolveShares(sources, total);
}

/** Memory that a backend can give, in bytes, and what it is called. */
export interface MemoryLimit {
  /** How much there is, in bytes. */
  readonly bytes: number;
  /** What they are, such as `WebAssembly's memory`. */
  readonly name: string;
}

/** WebAssembly's addresses, less its stacks and the kernels' scratch. */
const WASM_BYTES = 4 * 2 ** 30 - 64 * 2 ** 20;

/**
 * What a backend can give now to one of so many ranks that are on this machine, of which some share its
 * GPU, where it has one.
 */
export function memoryLimit(
  backend: Pick<Backend, "name" | "link">,
  { localRanks = 1, gpuRanks = 1 }: {
    readonly localRanks?: number | undefined;
    readonly gpuRanks?: number | undefined;
  } = {},
): MemoryLimit {
  if (backend.name === "wasm") return { bytes: WASM_BYTES, name: "WebAssembly" };
  const onGpu = backend.link?.freeBytes();
  const [available, where, ranks] = onGpu === undefined
    ? [Deno.systemMemoryInfo().available, "machine", localRanks]
    : [onGpu, "GPU", gpuRanks];
  if (ranks === 1) return { bytes: available, name: `this ${where}` };
  return { bytes: available / ranks, name: `each of ${ranks} ranks on this ${where}` };
}

/**
 * Refuses a run whose memory is not there on this rank, with the largest micro-batch that fits.
 *
 * @throws {LlameroError} Before anything is allocated.
 */
export function checkMemory(
  { model, settings, mesh = meshOfOne() }: Pick<RunConfig, "model" | "settings"> & {
    /** The ranks of the run; one without. */
    readonly mesh?: MeshPlace | undefined;
  },
  limit: MemoryLimit,
): TrainingBytes {
  const bytes = planRank({ model, settings }, mesh);
  if (bytes.total <= limit.bytes) return bytes;
  const { seqLen } = new BatchRamp(settings).largest;
  const options = rankOptions({ model, settings }, mesh);
  // What ranks share out of it, and what travels, does not depend on the rows.
  const besides = bytes.total - planTrainingBytes(model, options).total;
  const rows = mostTrainingRows(model, { ...options, bytes: limit.bytes - besides });
  const fits = Math.floor(rows / seqLen);
  const hint = fits >= 1
    ? `--micro-batch ${fits} is the largest that fits` +
      (settings.recompute === "full" ? "" : "; --recompute full saves memory too")
    : settings.recompute === "full"
    ? "take a smaller model, or shorter sequences with --seq-len"
    : "not even one sequence fits: --recompute full, a shorter --seq-len or a smaller model may";
  throw new LlameroError(
    `Cannot train with a micro-batch of ${settings.microBatch} sequences: it takes ` +
      `${formatMemory(bytes.total)}, and ${limit.name} has ${formatMemory(limit.bytes)}`,
    { hint },
  );
}

/** What decides the weights of a run. */
export function runIdentity(
  config: RunConfig,
  { data, backend }: { readonly data: RunData; readonly backend: Backend },
): RunIdentity {
  return identityOf(config, { sources: data.sources, backend: backend.name });
}
