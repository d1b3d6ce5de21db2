/**
 * `llamero probe`: logits, losses and gradients on given token ids.
 *
 * @module
 */

import { resolve } from "node:path";
import type { Backend } from "../../lib/backend/backend.ts";
import { tryOutputPath } from "../../lib/base/atomic_file.ts";
import { UsageError } from "../../lib/base/errors.ts";
import { formatInteger } from "../../lib/base/format.ts";
import { quotedPath } from "../../lib/base/quoted.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { writeSafetensors } from "../../lib/formats/safetensors_write.ts";
import type { TensorSource } from "../../lib/formats/tensor_file.ts";
import { probe, type ProbeOptions, type ProbeResult } from "../../lib/infer/probe.ts";
import { parseProbeBatch, type ProbeBatch } from "../../lib/infer/probe_batch.ts";
import {
  probeGradients,
  type ProbeGradientsOptions,
  targetsOf,
} from "../../lib/infer/probe_gradients.ts";
import { Decoder } from "../../lib/model/decoder.ts";
import type { DecoderSource } from "../../lib/model/load_weights.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { readText } from "../text_input.ts";
import { Log } from "../ui/log.ts";
import type { ProbeCommandOptions } from "./probe.spec.ts";

/** Runs `llamero probe`. */
export async function run(values: ProbeCommandOptions, io: Io): Promise<void> {
  tryOutputPath(values.out, values);
  if (values.gradients !== undefined) checkGradientsPath(values.gradients, values);
  const log = new Log(io, values);
  const signal = io.interruption();
  const checkpoint = await openCheckpoint(values.model);
  const batch = parseProbeBatch(await readText(values.batch, io), {
    file: values.batch === "-" ? "stdin" : values.batch,
    vocabSize: checkpoint.config.vocabSize,
  });
  if (values.gradients !== undefined) targetsOf(batch);
  const backend = await openBackendFor(values, log);
  try {
    // Other implementations are compared with: nothing is rounded but what the weights are.
    const decoder = await Decoder.load(backend, checkpoint, { activations: "f32", signal });
    const result = await writeLogits(decoder, batch, { ...values, signal });
    decoder.close();
    await writeGradients(backend, checkpoint, { ...values, batch, signal });
    const { loss = null, ce = null, z = null, count } = result;
    if (values.json) return writeJson(io.stdout, { loss, ce, z, count });
    const shown = (value: number | null) => value?.toFixed(6) ?? "-";
    io.stdout.write(
      `loss ${shown(loss)} = ce ${shown(ce)} + z ${shown(z)} over ${formatInteger(count)} tokens\n`,
    );
  } finally {
    backend.close();
  }
}

type WriteOptions = ProbeOptions & Pick<ProbeCommandOptions, "out" | "force">;

async function writeLogits(
  decoder: Decoder,
  batch: ProbeBatch,
  options: WriteOptions,
): Promise<ProbeResult> {
  let result: ProbeResult | undefined;
  async function* bytes(): AsyncGenerator<Uint8Array> {
    const chunks = probe(decoder, batch, options);
    for (;;) {
      const next = await chunks.next();
      if (next.done) {
        result = next.value;
        return;
      }
      const { buffer, byteOffset, byteLength } = next.value;
      yield new Uint8Array(buffer, byteOffset, byteLength);
    }
  }
  const shape = [batch.inputIds.length, batch.inputIds[0]!.length, decoder.config.vocabSize];
  await writeSafetensors(options.out, [{ name: "logits", dtype: "f32", shape, data: bytes }], {
    force: options.force,
  });
  return result!;
}

/** Refuses a second file that cannot be written, or is the first. */
function checkGradientsPath(path: string, { out, force }: ProbeCommandOptions): void {
  if (resolve(path) === resolve(out)) {
    throw new UsageError(`Cannot write gradients to ${quotedPath(path)}: the logits go there`);
  }
  tryOutputPath(path, { force });
}

async function writeGradients(
  backend: Backend,
  source: DecoderSource,
  options: ProbeGradientsOptions & Pick<ProbeCommandOptions, "gradients" | "force">,
): Promise<void> {
  const { gradients, force } = options;
  if (gradients === undefined) return;
  const take = (tensors: readonly TensorSource[]) =>
    writeSafetensors(gradients, tensors, { force });
  await probeGradients(backend, source, { ...options, take });
}
