import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import { openCuda } from "../../lib/backend/cuda.ts";
import { EMULATED_CUBLASLT, EMULATED_LIBRARY } from "../../scripts/build_cuda.ts";
import { assertSameBits } from "../numeric.ts";
import { CASES } from "./cases.ts";
import type { TunedProduct } from "./cublaslt_program.ts";
import { argumentsOf, run } from "./harness.ts";

const MISSING = [EMULATED_LIBRARY, EMULATED_CUBLASLT].find((path) => !existsSync(path));
const HOW = MISSING === undefined ? "" : "; ignored: deno task build:cuda --emulated";

async function tunedProducts(): Promise<TunedProduct[]> {
  const program = fileURLToPath(new URL("./cublaslt_program.ts", import.meta.url));
  const permissions = ["--allow-ffi", "--allow-env", "--allow-read"];
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", ...permissions, program],
    env: { LLAMERO_EMULATED_CUBLASLT: EMULATED_CUBLASLT },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test({
  name:
    "cuBLASLt: the quickest algorithm that gives the bits of the first is found once a shape, " +
    `for operands in any order, and its sums are those of our own kernel (cuda, emulated${HOW})`,
  ignore: MISSING !== undefined,
  async fn() {
    const products = await tunedProducts();
    const backend = openCuda({ library: EMULATED_LIBRARY });
    const entry = CASES.gemm!;
    let tuned = 0;
    entry.cases.forEach((one, index) => {
      const { uses, results } = products[index]!;
      const what = JSON.stringify({ ...one.sizes, ...one.types });
      const made = argumentsOf("gemm", { entry, one });
      const { out } = run(backend, "gemm", { made, scalars: one.sizes });
      for (const result of results) assertSameBits([Uint8Array.from(result), out!], what);
      const [, again] = uses;
      const inBf16 = one.sizes.precision === DTYPE_CODES.bf16;
      // Algorithm 0 is slow, 1 adds in another order, which is none where there is nothing to add.
      const [slow, other, chosen] = again!;
      assert.equal(slow, 0, what);
      if (one.sizes.depth! > 1) assert.equal(other, 0, what);
      assert.equal(chosen! + other! > 0, inBf16, what);
      tuned += uses[0]![0]! > 0 ? 1 : 0;
    });
    assert.ok(tuned >= 15, `${tuned} shapes were timed: five in three orders were wanted`);
    backend.close();
  },
});
