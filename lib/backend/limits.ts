/**
 * What a machine can do at best, measured through a backend, so that every speed can be told as a
 * share of it. Source: Williams et al. 2009 (the roofline).
 *
 * @module
 */

import type { Backend } from "./backend.ts";

/** The two limits of every kernel, on all threads of a backend. */
export interface MachineLimits {
  /** Single precision operations per second of fused multiply-adds in registers. */
  readonly flopsPerSecond: number;
  /** Bytes per second of reading memory that no cache holds, by the fastest of several loops. */
  readonly bytesPerSecond: number;
}

/** Far more than the caches of the processors that this runs on. */
const READ_BYTES = 256 << 20;
const READ_VARIANTS = 3;
/** Times each loop runs; the fastest counts, because whatever else runs only slows it down. */
const ATTEMPTS = 5;

/** How thoroughly arithmetic is measured. */
interface Effort {
  /** Runs that count. */
  readonly attempts: number;
  /** A run lasts at least this long, so that starting threads does not count. */
  readonly leastMs: number;
}

const THOROUGH: Effort = { attempts: ATTEMPTS, leastMs: 20 };
/** For a run that shows its share of the peak: every rank measures it whenever it starts. */
const BRIEF: Effort = { attempts: 3, leastMs: 8 };

/** Measures both limits; takes about half a second. @throws {BackendError} When memory is short. */
export function measureLimits(backend: Backend): MachineLimits {
  const out = backend.alloc(16);
  const memory = backend.alloc(READ_BYTES);
  try {
    backend.fill(memory, 1, READ_BYTES);
    return {
      flopsPerSecond: measureArithmetic(backend, { out, ...THOROUGH }),
      bytesPerSecond: measureReading(backend, out, memory),
    };
  } finally {
    backend.free(memory);
    backend.free(out);
  }
}

/** Measures arithmetic alone, in operations per second; takes a fifth of a second, in brief a twentieth. */
export function measureFlops(
  backend: Backend,
  { brief = false }: { readonly brief?: boolean } = {},
): number {
  const out = backend.alloc(16);
  try {
    return measureArithmetic(backend, { out, ...(brief ? BRIEF : THOROUGH) });
  } finally {
    backend.free(out);
  }
}

function measureArithmetic(
  backend: Backend,
  { out, attempts, leastMs }: Effort & { readonly out: number },
): number {
  const operations = new Float64Array(1);
  let best = 0;
  let iterations = 1 << 16;
  for (let attempt = 0; attempt < attempts;) {
    const ms = timed(backend, () => backend.kernels.peak_fma({ out, iterations }));
    if (ms < leastMs && iterations < 2 ** 30) {
      iterations *= 2;
      continue;
    }
    backend.download(operations, out);
    best = Math.max(best, operations[0]! / ms * 1000);
    attempt++;
  }
  return best;
}

function measureReading(backend: Backend, out: number, x: number): number {
  let best = 0;
  for (let variant = 0; variant < READ_VARIANTS; variant++) {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const bytes = READ_BYTES;
      const ms = timed(backend, () => backend.kernels.peak_read({ out, x, bytes, variant }));
      best = Math.max(best, bytes / ms * 1000);
    }
  }
  return best;
}

function timed(backend: Backend, work: () => void): number {
  const start = performance.now();
  work();
  backend.wait();
  return performance.now() - start;
}
