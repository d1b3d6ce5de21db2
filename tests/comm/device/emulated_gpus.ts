/** Registers tests that need emulated GPUs and the NCCL for them. */

import { existsSync } from "node:fs";
import { EMULATED_LIBRARY, EMULATED_NCCL } from "../../../scripts/build_cuda.ts";

/** Why there are no emulated GPUs here, or nothing. */
export const NO_EMULATED_GPUS: string | undefined =
  [EMULATED_LIBRARY, EMULATED_NCCL].every((path) => existsSync(path))
    ? undefined
    : "deno task build:cuda --emulated";

/** How many GPUs a test's processes see. */
const EMULATED_GPUS = 4;

/** Registers `name`, ignored with the reason where there are none. */
export function onEmulatedGpus(name: string, body: () => Promise<void>): void {
  const why = NO_EMULATED_GPUS === undefined ? "" : `; ignored: ${NO_EMULATED_GPUS}`;
  Deno.test({
    name: `${name} (cuda, emulated${why})`,
    ignore: NO_EMULATED_GPUS !== undefined,
    fn: async () => {
      Deno.env.set("LLAMERO_EMULATED_GPUS", String(EMULATED_GPUS));
      await body();
    },
  });
}
