/**
 * `llamero probe`: logits and losses on given token ids.
 *
 * @module
 */

import { checkOutputPath } from "../../lib/base/atomic_file.ts";
import { formatInteger } from "../../lib/base/format.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { writeSafetensors } from "../../lib/formats/safetensors_write.ts";
import { probe, type ProbeOptions, type ProbeResult } from "../../lib/infer/probe.ts";
import { parseProbeBatch, type ProbeBatch } from "../../lib/infer/probe_batch.ts";
import { Decoder } from "../../lib/model/decoder.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { readText } from "../text_input.ts";
import { Log } from "../ui/log.ts";
import type { ProbeCommandOptions } from "./probe.spec.ts";

/** Runs `llamero probe`. */
export async function run(values: ProbeCommandOptions, io: Io): Promise<void> {
  checkOutputPath(values.out, values);
  const log = new Log(io, values);
  const signal = io.interruption();
  const checkpoint = await openCheckpoint(values.model);
  const batch = parseProbeBatch(await readText(values.batch, io), {
    file: values.batch === "-" ? "stdin" : values.batch,
    vocabSize: checkpoint.config.vocabSize,
  });
  const backend = await openBackendFor(values, log);
  try {
    const decoder = await Decoder.load(backend, checkpoint, { signal });
    const result = await writeLogits(decoder, batch, { ...values, signal });
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
