/** Multiplies on an emulated GPU with an emulated cuBLASLt, and prints what its algorithms were used for. */

import { openCuda } from "../../lib/backend/cuda.ts";
import { EMULATED_CUBLASLT, EMULATED_LIBRARY } from "../../scripts/build_cuda.ts";
import { CASES } from "./cases.ts";
import { argumentsOf, run } from "./harness.ts";

const ALGORITHMS = 3;

/** What the program prints of one case. */
export interface TunedProduct {
  /** How often each algorithm has run: when the case ran first, and when it ran again. */
  readonly uses: readonly (readonly number[])[];
  /** The bytes of both results. */
  readonly results: readonly (readonly number[])[];
}

if (import.meta.main) {
  const library = Deno.dlopen(EMULATED_CUBLASLT, {
    emulated_uses: { parameters: ["i32"], result: "i32" },
  });
  const counted = () =>
    Array.from({ length: ALGORITHMS }, (_, which) => library.symbols.emulated_uses(which));
  const backend = openCuda({ library: EMULATED_LIBRARY });
  const entry = CASES.gemm!;
  const products = entry.cases.map((one): TunedProduct => {
    const made = argumentsOf("gemm", { entry, one });
    const calls = [0, 1].map(() => {
      const before = counted();
      const { out } = run(backend, "gemm", { made, scalars: one.sizes });
      return { uses: counted().map((count, which) => count - before[which]!), out: [...out!] };
    });
    return { uses: calls.map(({ uses }) => uses), results: calls.map(({ out }) => out) };
  });
  backend.close();
  library.close();
  console.log(JSON.stringify(products));
}
