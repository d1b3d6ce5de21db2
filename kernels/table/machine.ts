/**
 * The kernels that measure the machine, so that every speed can be told as a share of its limit.
 *
 * @module
 */

import { input, type Kernel, output, size, u32 } from "./kernel.ts";

/** Kernels that measure what the machine can do. */
export const MACHINE_KERNELS: Readonly<Record<string, Kernel>> = {
  peak_fma: {
    doc:
      "Measures arithmetic: every thread runs `iterations` rounds of independent register-only " +
      "fused multiply-adds in the widest vectors that `matmul` uses; out[0] gets the operations " +
      "done by all threads, out[1] a value that keeps them alive.",
    source: "roofline: Williams et al. 2009",
    params: { out: output("f64", "2"), iterations: u32 },
    bytes: "0",
    flops: "0",
  },
  peak_read: {
    doc: "Measures read bandwidth: all threads sum `bytes` bytes at `x` by loop number `variant` " +
      "(0: one stream a thread, 1: four streams, 2: eight streams with prefetch); " +
      "out[0] gets the sum.",
    source: "STREAM, McCalpin 1995",
    params: { out: output("f64", "1"), x: input("f32", "bytes/4"), bytes: size, variant: u32 },
    bytes: "bytes",
    flops: "0",
  },
};
