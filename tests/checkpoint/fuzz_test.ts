import assert from "node:assert/strict";
import { join } from "node:path";
import { LlameroError } from "../../lib/base/errors.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { writeLlama2c } from "../../lib/formats/llama2c_write.ts";
import { withFolder } from "../formats/folder.ts";
import { tensors, writeGgufModel, writeHuggingFace, writeMeta } from "./small_model.ts";

/** Numbers from 0 to 2^32 - 1 that depend on the seed alone (a linear congruence). */
function numbers(seed: number): () => number {
  let state = BigInt(seed);
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return Number(state >> 32n);
  };
}

/** Bytes that are likely to hurt: signs, ends of ranges, brackets, digits. */
const HURTFUL = [0, 1, 0x7f, 0x80, 0xff, ...'{}[]",:-9e. \\'.split("").map((c) => c.charCodeAt(0))];

/** Changes, removes or doubles a few bytes among the first `header` of them. */
function mutated(bytes: Uint8Array, header: number, next: () => number): Uint8Array {
  const list = [...bytes];
  for (let edits = 1 + (next() % 3); edits > 0; edits--) {
    const at = next() % Math.min(header, list.length);
    const kind = next() % 8;
    if (kind === 0) list.splice(at, 1 + (next() % 8));
    else if (kind === 1) list.splice(at, 0, ...list.slice(at, at + 8));
    else if (kind === 2) list.length = Math.max(1, at);
    else list[at] = kind < 6 ? HURTFUL[next() % HURTFUL.length]! : next() & 255;
    if (list.length === 0) list.push(0);
  }
  return Uint8Array.from(list);
}

const ROUNDS = 250;

/** Mutates one file of a model many times; each time it opens or is refused by an error of ours. */
async function survives(path: string, file: string, seed: number): Promise<void> {
  const original = Deno.readFileSync(file);
  const next = numbers(seed);
  let refusals = 0;
  for (let round = 0; round < ROUNDS; round++) {
    Deno.writeFileSync(file, mutated(original, 2048, next));
    try {
      await openCheckpoint(path);
    } catch (error) {
      assert.ok(error instanceof LlameroError, `round ${round}: ${(error as Error).stack}`);
      assert.ok(!error.message.includes("\n"), error.message);
      assert.ok(error.message.length < 600, error.message);
      refusals++;
    }
  }
  assert.ok(refusals > ROUNDS / 4, `only ${refusals} of ${ROUNDS} were refused`);
}

Deno.test("mutated safetensors headers are opened or refused, never worse", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    await survives(folder, join(folder, "model.safetensors"), 1);
  });
});

Deno.test("mutated configs are opened or refused, never worse", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    await survives(folder, join(folder, "config.json"), 2);
  });
});

Deno.test("mutated PyTorch archives are opened or refused, never worse", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder, { file: "pytorch_model.bin" });
    await survives(folder, join(folder, "pytorch_model.bin"), 3);
  });
});

Deno.test("mutated params.json are opened or refused, never worse", async () => {
  await withFolder(async (folder) => {
    await writeMeta(folder);
    await survives(folder, join(folder, "params.json"), 4);
  });
});

Deno.test("mutated GGUF heads are opened or refused, never worse", async () => {
  await withFolder(async (folder) => {
    const path = await writeGgufModel(folder);
    await survives(path, path, 5);
  });
});

Deno.test("mutated llama2.c headers are opened or refused, never worse", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "model.bin");
    const header = {
      ...{ version: 0 as const, dim: 8, hiddenDim: 12, layers: 2, heads: 2, kvHeads: 1 },
      ...{ vocabSize: 16, sequenceLength: 32, sharedClassifier: false },
    };
    await writeLlama2c(path, [...tensors("meta").values()], { header });
    await survives(path, path, 6);
  });
});
