import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { runLocal } from "../../../lib/comm/local/run.ts";
import { launch, NO_MPI } from "../../comm/mpi/launch.ts";
import { PATIENCE_MS } from "../../time_limits.ts";
import { goldenTrainBatch } from "./golden_training.ts";
import type { TensorInput, TensorResult } from "./tensor_program.ts";

const MODULE = new URL("./tensor_program.ts", import.meta.url);

for (const model of ["llama_gqa", "palm"] as const) {
  const name = `${model}: processes that share a model have the bits of virtual ranks`;
  if (NO_MPI !== undefined) {
    Deno.test({ name: `${name} (ignored: ${NO_MPI})`, ignore: true, fn: () => {} });
    continue;
  }
  Deno.test(name, async () => {
    const input: TensorInput = { backend: "native", model, batches: [goldenTrainBatch(model)] };
    const virtual = await runLocal<TensorResult, TensorInput>(MODULE, {
      ...{ ranks: 2, input, timeLimitMs: PATIENCE_MS },
    });
    const { ends } = await launch<TensorResult>(MODULE, { ranks: 2, input });
    for (const [rank, { code, said, result }] of ends.entries()) {
      strictEqual(code, 0, said);
      deepStrictEqual(result!.losses, virtual[rank]!.losses);
      deepStrictEqual(result!.gradients, virtual[rank]!.gradients);
      deepStrictEqual(result!.bytes, virtual[rank]!.bytes);
    }
  });
}
