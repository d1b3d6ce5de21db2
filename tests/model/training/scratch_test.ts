import { ok, strictEqual } from "node:assert/strict";
import { presetOf } from "../../../lib/model/presets.ts";
import { TrainableModel } from "../../../lib/model/training/trainable_model.ts";
import { trainingScratchBytes } from "../../../lib/model/training/scratch.ts";
import { planTrainingBytes } from "../../../lib/model/training/memory.ts";
import { onBackends } from "../../on_backends.ts";

const { config: DEBUG } = presetOf("debug");
const ROWS = 4096;
const SEQ_LEN = 512;

/** Heads that share one kv head, so that the backward pass of attention wants much. */
const WIDE = { ...DEBUG, numAttentionHeads: 16, numKeyValueHeads: 1, headDim: 64 };

/** Runs a body that sees the memories that WebAssembly makes meanwhile. */
async function withMemories(
  body: (made: readonly WebAssembly.Memory[]) => Promise<void>,
): Promise<void> {
  const made: WebAssembly.Memory[] = [];
  const original = WebAssembly.Memory;
  WebAssembly.Memory = new Proxy(original, {
    construct(target, [descriptor]: [WebAssembly.MemoryDescriptor]) {
      const memory = new target(descriptor);
      made.push(memory);
      return memory;
    },
  });
  try {
    await body(made);
  } finally {
    WebAssembly.Memory = original;
  }
}

onBackends(
  "a step of training grows the memory by arenas and the kernels' own, within 5%",
  async (on) => {
    const options = { maxRows: ROWS, recompute: "full" } as const;
    let [before, after] = [0, 0];
    await withMemories(async (memories) => {
      using opened = await on.open(1);
      strictEqual(memories.length, 1);
      const memory = () => memories[0]!.buffer.byteLength;
      before = memory();
      const model = new TrainableModel(opened.backend, { config: WIDE }, options);
      model.initialize(1);
      const tokens = new Int32Array(ROWS);
      const positions = tokens.map((_, row) => row % SEQ_LEN);
      const starts = tokens.map((_, row) => row - row % SEQ_LEN);
      const batch = {
        sequences: ROWS / SEQ_LEN,
        length: SEQ_LEN,
        tokens,
        targets: tokens,
        starts,
        positions,
      };
      await model.forwardBackward(batch, { weightScale: 1 });
      opened.backend.wait();
      after = memory();
      model.close();
    });
    const { total, moments } = planTrainingBytes(WIDE, options);
    const scratch = trainingScratchBytes(WIDE, { rows: ROWS, seqLen: SEQ_LEN, threads: 1 });
    const planned = total - moments + scratch;
    ok(scratch > 0.1 * planned, "too little to be seen");
    ok(Math.abs((after - before) / planned - 1) < 0.05, `${after - before} for ${planned}`);
  },
  { only: "wasm" },
);
