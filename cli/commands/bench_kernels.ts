/**
 * `llamero bench kernels`: speed of single kernels, as a share of what the machine can do.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import { type MachineLimits, measureLimits } from "../../lib/backend/limits.ts";
import { multipliesBf16 } from "../../lib/backend/features.ts";
import { bytesOf, type DType } from "../../lib/tensor/dtype.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { Log } from "../ui/log.ts";
import { writeTable } from "../ui/table.ts";
import type { KernelCase } from "./bench_kernel_case.ts";
import { PRODUCT_CASES } from "./bench_kernels_products.ts";
import { TRAINING_CASES } from "./bench_kernels_training.ts";
import type { BenchKernelsArguments, BenchKernelsOptions } from "./bench_kernels.spec.ts";

/** What the command line gives. */
export type Values = BenchKernelsOptions & BenchKernelsArguments;

/** Times in milliseconds. */
interface Times {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** A case with its times, and those on one thread where they were asked for. */
interface Timed extends KernelCase, Times {
  readonly alone?: Times;
}

/** A backend and its limits. */
interface Bench {
  readonly backend: Backend;
  readonly limits: MachineLimits;
}

/** What is compared: all threads, and one where that was asked for. */
interface Benches {
  readonly all: Bench;
  readonly single?: Bench | undefined;
}

/** Runs `llamero bench kernels`. */
export async function run(values: Values, io: Io): Promise<void> {
  const log = new Log(io, values);
  const signal = io.interruption();
  using open = new DisposableStack();
  const benchOn = async (options: Pick<Values, "backend" | "threads">): Promise<Bench> => {
    const backend = open.adopt(await openBackendFor(options, log), (backend) => backend.close());
    await backend.ready();
    return { backend, limits: measureLimits(backend) };
  };
  const all = await benchOn(values);
  const { name, info } = all.backend;
  const compares = values.scaling === true && info.threads > 1;
  const single = compares ? await benchOn({ backend: name, threads: 1 }) : undefined;
  const wanted = new Set(values.names);
  const bf16 = multipliesBf16(info);
  const cases = CASES.filter(({ kernel, inBf16 = false }) =>
    (wanted.size === 0 || wanted.has(kernel)) && (bf16 || !inBf16)
  );
  const timed: Timed[] = [];
  for (const one of cases) {
    signal.throwIfAborted();
    const times = await time(all.backend, one, values.repeat);
    const alone = single && await time(single.backend, one, values.repeat);
    timed.push({ ...one, ...times, ...(alone && { alone }) });
  }
  const benches: Benches = { all, single };
  if (values.json) writeJson(io.stdout, jsonOf(timed, benches));
  else writeReport(timed, benches, io);
}

const product = (
  kernel: string,
  [rows, outDim, inDim]: readonly [number, number, number],
  [x, weight]: readonly [DType, DType],
): KernelCase => ({
  kernel,
  shape: `${rows}x${inDim} ${x} by ${outDim}x${inDim} ${weight}`,
  ...(rows > 1 ? { flops: 2 * rows * outDim * inDim } : { bytes: bytesOf(weight, outDim * inDim) }),
  buffers: [rows * outDim * 4, bytesOf(x, rows * inDim), bytesOf(weight, outDim * inDim)],
  call: (backend, [out, input, matrix]) =>
    backend.kernels.matmul({
      out: out!,
      x: input!,
      weight: matrix!,
      x_dtype: DTYPE_CODES[x],
      weight_dtype: DTYPE_CODES[weight],
      rows,
      out_dim: outDim,
      in_dim: inDim,
      x_stride: inDim,
      out_stride: outDim,
      accumulate: 0,
    }),
});

const elementwise = (
  kernel: string,
  inputs: number,
  call: (
    backend: Backend,
    buffers: readonly number[],
    shape: { rows: number; dim: number },
  ) => void,
): KernelCase => {
  const shape = { rows: 4096, dim: 4096 };
  const bytes = shape.rows * shape.dim * 4;
  return {
    kernel,
    shape: `${shape.rows}x${shape.dim} f32`,
    bytes: bytes * (inputs + 1),
    buffers: Array.from({ length: inputs + 1 }, () => bytes),
    call: (backend, buffers) => call(backend, buffers, shape),
  };
};

const CASES: readonly KernelCase[] = [
  ...[512, 1024, 2048].map((n) => product("matmul", [n, n, n], ["f32", "f32"])),
  product("matmul", [512, 1024, 1024], ["f32", "bf16"]),
  product("matmul", [512, 1024, 1024], ["q8_0", "q8_0"]),
  product("matvec", [1, 16384, 4096], ["f32", "f32"]),
  product("matvec", [1, 32768, 4096], ["f32", "bf16"]),
  product("matvec", [1, 32768, 4096], ["f32", "q8_0"]),
  product("matvec", [1, 32768, 4096], ["q8_0", "q8_0"]),
  elementwise(
    "rms_norm",
    1,
    (backend, [out, x], shape) =>
      backend.kernels.rms_norm({ out: out!, x: x!, weight: x!, ...shape, eps: 1e-5 }),
  ),
  elementwise(
    "softmax",
    1,
    (backend, [out, x], shape) => backend.kernels.softmax({ out: out!, x: x!, ...shape }),
  ),
  elementwise("swiglu", 2, (backend, [out, gate, up], shape) =>
    backend.kernels.swiglu({
      out: out!,
      gate: gate!,
      up: up!,
      ...shape,
      gate_stride: shape.dim,
      up_stride: shape.dim,
    })),
  ...PRODUCT_CASES,
  ...TRAINING_CASES,
];

async function time(backend: Backend, one: KernelCase, repeat: number): Promise<Times> {
  const buffers = one.buffers.map((bytes) => backend.alloc(bytes));
  try {
    // In every type a plain number: products of smaller ones would be subnormal, and slow. Pages that
    // are written are really there.
    one.buffers.forEach((bytes, i) => backend.fill(buffers[i]!, 0x3c, bytes));
    // Threads that have slept long may have ended.
    await backend.ready();
    one.prepare?.(backend, buffers);
    const times: number[] = [];
    for (let i = 0; i <= repeat; i++) {
      const start = performance.now();
      one.call(backend, buffers);
      backend.wait();
      if (i > 0) times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    return { median: times[times.length >> 1]!, min: times[0]!, max: times.at(-1)! };
  } finally {
    buffers.forEach((address) => backend.free(address));
  }
}

/** Units per second at the median, what they are, and their share of the machine's limit. */
function rateOf(one: Timed, limits: MachineLimits): { rate: number; unit: string; share: number } {
  const perSecond = (amount: number) => amount / one.median * 1000;
  if (one.flops !== undefined) {
    const rate = perSecond(one.flops);
    return { rate, unit: "FLOP/s", share: rate / limits.flopsPerSecond };
  }
  const rate = perSecond(one.bytes ?? 0);
  return { rate, unit: "B/s", share: rate / limits.bytesPerSecond };
}

/** How many times as fast all threads are as one, and the share of what the limit gains by them. */
function gainOf(
  { median, alone, flops }: Timed,
  { all, single }: Benches,
): { gain: number; share: number } | undefined {
  if (alone === undefined || single === undefined) return undefined;
  const limit = flops === undefined ? "bytesPerSecond" : "flopsPerSecond";
  const gain = alone.median / median;
  return { gain, share: gain / (all.limits[limit] / single.limits[limit]) };
}

function jsonOf(timed: readonly Timed[], benches: Benches): unknown {
  const { all: { backend, limits }, single } = benches;
  const inJson = ({ flopsPerSecond, bytesPerSecond }: MachineLimits) => ({
    flops_per_second: flopsPerSecond,
    bytes_per_second: bytesPerSecond,
  });
  return {
    kernels: timed.map((one) => {
      const { rate, unit, share } = rateOf(one, limits);
      const { kernel, shape, median, min, max } = one;
      const gained = gainOf(one, benches);
      const scaling = gained && { scaling: { gain: gained.gain, share: gained.share } };
      const times = { median_ms: median, min_ms: min, max_ms: max };
      return { kernel, shape, ...times, rate, unit, share, ...scaling };
    }),
    limits: inJson(limits),
    ...(single && { limits_one_thread: inJson(single.limits) }),
    backend: { name: backend.name, isa: backend.info.isa, threads: backend.info.threads },
  };
}

function writeReport(timed: readonly Timed[], benches: Benches, io: Io): void {
  const { all: { backend, limits }, single } = benches;
  const { isa, threads } = backend.info;
  const giga = (value: number) => (value / 1e9).toPrecision(4);
  const percent = (share: number) => `${(100 * share).toFixed(0)}%`;
  const told = ({ flopsPerSecond, bytesPerSecond }: MachineLimits) =>
    `${giga(flopsPerSecond)} GFLOP/s in registers, ${giga(bytesPerSecond)} GB/s read`;
  io.stdout.write(`${backend.name} (${isa}, threads ${threads}): ${told(limits)}\n`);
  if (single !== undefined) io.stdout.write(`one thread: ${told(single.limits)}\n`);
  io.stdout.write("\n");
  const right = (title: string) => ({ title, align: "right" as const });
  writeTable(io.stdout, {
    columns: [
      { title: "kernel" },
      { title: "shape" },
      ...["ms", "spread", "rate", "share of the limit"].map(right),
      ...(single === undefined ? [] : ["gain", "share of the limit's gain"].map(right)),
    ],
    rows: timed.map((one) => {
      const { rate, unit, share } = rateOf(one, limits);
      const gained = gainOf(one, benches);
      return [
        one.kernel,
        one.shape,
        one.median.toPrecision(3),
        `${one.min.toPrecision(3)} - ${one.max.toPrecision(3)}`,
        `${giga(rate)} G${unit}`,
        percent(share),
        ...(gained === undefined ? [] : [`${gained.gain.toFixed(2)}x`, percent(gained.share)]),
      ];
    }),
  });
}
