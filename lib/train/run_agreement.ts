/**
 * Whether the ranks of a run compute the same: ranks on machines of their own may have other files.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Backend } from "../backend/backend.ts";
import { ABI_HASH } from "../backend/kernels.generated.ts";
import { checkAgreement } from "../comm/agreement.ts";
import type { Communicator } from "../comm/communicator.ts";
import type { TokenSource } from "../data/token_source.ts";
import type { RunConfig } from "./run_config.ts";
import { type RunData, runIdentity } from "./setup.ts";

/** Windows of a source that are compared: enough to tell two datasets, few enough to be read at once. */
const SAMPLES = 32;

/** A digest of windows from all over a source. */
function sampleOf(source: TokenSource, { settings, model }: RunConfig): Uint8Array {
  const { seqLen: length } = settings;
  const { vocabSize } = model;
  const hash = createHash("sha256");
  const windows = source.windows(length);
  for (let sample = 0; sample < Math.min(SAMPLES, windows); sample++) {
    const window = Math.floor((windows - 1) * sample / Math.max(1, SAMPLES - 1));
    const { tokens, documents } = source.read(window, { length, vocabSize });
    hash.update(new Uint8Array(tokens.buffer)).update(documents.join());
  }
  return hash.digest();
}

/**
 * Compares settings, data, backend and kernels of all ranks.
 *
 * @throws {ConfigError} Where one has others than rank 0; names the rank.
 */
export function checkRunAgreement(
  world: Communicator,
  { config, data, backend }: { config: RunConfig; data: RunData; backend: Backend },
): void {
  if (world.size === 1) return;
  const samples = data.sources.map((source) => sampleOf(source, config));
  checkAgreement(world, {
    "kernel table": String(ABI_HASH),
    "backend": backend.name,
    "config": JSON.stringify(runIdentity(config, { data, backend })),
    "data": Buffer.concat(samples),
  });
}
