/**
 * Writing a model as a llama2.c file (the legacy version, which `run.c` reads), its `tokenizer.bin`
 * beside it.
 *
 * @module
 */

import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { AtomicFile, checkOutputPath } from "../base/atomic_file.ts";
import { UsageError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import { writeLlama2c } from "../formats/llama2c_write.ts";
import { parseLlama2cConfig, toLlama2cHeader } from "../model/config_llama2c.ts";
import { weightSpecs } from "../model/weights.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { checkHeadDim, checkHeld, checkIsLlama, type HeldOptions, unheldTokens } from "./held.ts";
import { mapTensor } from "./map.ts";
import type { SaveOptions, SavePlan } from "./plan.ts";
import { llama2cFile } from "./travelling_tokenizer.ts";

/** Prepares a model to be written as a llama2.c file. @throws {ConfigError} Where the format cannot hold it. */
export async function planLlama2c(source: Checkpoint, options: SaveOptions): Promise<SavePlan> {
  const { path, types, tokenizer, flow, force } = options;
  const held: HeldOptions = { path: source.path, target: "llama2.c" };
  if (!path.endsWith(".bin")) {
    throw new UsageError(
      `Cannot write ${quotedPath(path)}: llama2.c's files have no mark but their name, ` +
        "which must end in .bin",
    );
  }
  checkIsLlama(source.config, held);
  checkHeadDim(source.config, held);
  const header = toLlama2cHeader(source.config);
  const readBack = parseLlama2cConfig({ path: source.path, header });
  checkHeld(source.config, { ...held, readBack });
  const side = await llama2cFile(tokenizer);
  const tensors = weightSpecs(source.config).map((spec) =>
    mapTensor(source, spec, {
      scheme: "meta",
      ropeLayout: "interleaved",
      dtype: types.get(spec.name)!,
      flow,
    })
  );
  checkOutputPath(path, options);
  const beside = side && { path: join(dirname(path), side.name), bytes: side.bytes };
  const isThere = beside !== undefined && hasContent(beside.path, beside.bytes);
  if (beside !== undefined && !isThere) checkOutputPath(beside.path, options);
  const unheld = unheldTokens(source.config, readBack);
  return {
    format: "llama2c",
    tensors,
    notes: [
      ...(unheld === undefined ? [] : [`llama2.c does not know that the model ${unheld}`]),
      ...(tokenizer.templates.size === 0 ? [] : ["llama2.c has no place for the chat template"]),
    ],
    async write() {
      using files = new DisposableStack();
      let second: AtomicFile | undefined;
      if (beside !== undefined && !isThere) {
        second = files.use(AtomicFile.create(beside.path, { force }));
        second.write(beside.bytes);
        second.finish();
      }
      await writeLlama2c(path, tensors, { header, force });
      second?.commit();
      return beside === undefined ? [path] : [path, beside.path];
    },
  };
}

/** Whether a file has these bytes already: several models in a folder share a tokenizer. */
function hasContent(path: string, bytes: Uint8Array): boolean {
  const found = fs.statSync(path, { throwIfNoEntry: false });
  if (found?.isFile() !== true || found.size !== bytes.length) return false;
  return fs.readFileSync(path).every((byte, i) => byte === bytes[i]);
}
