/**
 * A checkpoint's weights on a backend: mapped from the file where that is possible and pays, read
 * into memory otherwise.
 *
 * Read weights lie in the order of the forward pass, so that q, k and v, and gate and up, are
 * neighbours and multiply as one; mapped ones stay where the file has them.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Address, Backend, MappedFile } from "../backend/backend.ts";
import { BackendError, FormatError } from "../base/errors.ts";
import { formatMemory } from "../base/format.ts";
import { quoted } from "../base/quoted.ts";
import { readTensorInto } from "../formats/read_tensor.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import { bytesOf, type DType, isDType } from "../tensor/dtype.ts";
import type { ModelConfig } from "./config.ts";
import { DecoderWeights, type Placed } from "./decoder_weights.ts";
import { WEIGHT_DTYPES } from "./linear.ts";
import { aligned } from "./memory_plan.ts";
import { type Repack, SettledWeights } from "./settled_weights.ts";
import type { RopeLayout } from "./rope.ts";
import { type WeightSpec, weightSpecs } from "./weights.ts";

/** A checkpoint as the decoder needs it: every record has been checked against the config. */
export interface DecoderSource {
  /** The file or folder, as the user named it. */
  readonly path: string;
  /** What the decoder is made of. */
  readonly config: ModelConfig;
  /** Tensors by canonical name. */
  readonly tensors: ReadonlyMap<string, TensorRecord>;
  /** Order of the rows of q and k. */
  readonly ropeLayout: RopeLayout;
}

/**
 * Where weights live: `mapped` from the file where the backend can, `read` into memory always, or
 * `auto`: small models are read, because products of neighbours are fewer and reading costs nothing.
 */
export type Residence = "auto" | "mapped" | "read";

/** How weights are brought to the backend. */
export interface LoadOptions {
  /** Where they live. @default {"auto"} */
  readonly residence?: Residence | undefined;
  /** Which weights are repacked for decoding; `off` maps files of any size. @default {"auto"} */
  readonly repack?: Repack | undefined;
  /** Called with the bytes read so far and those to read. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
  /** Stops between chunks of the file. */
  readonly signal?: AbortSignal | undefined;
}

/** Files up to this size are read under `auto`. */
const SMALL_FILE_BYTES = 64 << 20;
/** Weights are gathered in allocations of this size: WebAssembly has none beyond 2 GiB. */
const SLAB_BYTES = 512 << 20;
/** Weights that follow the one before them without a gap, to be multiplied with it. */
const JOINING: ReadonlySet<WeightSpec["role"]> = new Set([
  "attention.k",
  "attention.v",
  "feed_forward.up",
]);
/** What WebAssembly can address, less what the cache and the activations of a small context take. */
const WASM_WEIGHT_LIMIT = 4 * 2 ** 30 - 128 * 2 ** 20;

/** One weight that is read into memory. */
interface ReadJob {
  readonly spec: WeightSpec;
  readonly record: TensorRecord;
  readonly dtype: DType;
  /** Which allocation it goes to, and where in it. */
  readonly slab: number;
  readonly offset: number;
}

/** What is read, and the allocations that it goes to. */
interface ReadPlan {
  readonly jobs: ReadJob[];
  /** Bytes of each allocation. */
  readonly slabs: number[];
}

/**
 * Brings the weights of a checkpoint to a backend.
 *
 * @throws {FormatError} When a tensor has a type that cannot be multiplied.
 * @throws {BackendError} When the backend has too little memory.
 */
export async function loadWeights(
  backend: Backend,
  source: DecoderSource,
  options: LoadOptions = {},
): Promise<DecoderWeights> {
  const repack = options.repack ?? "auto";
  const files = mapFiles(
    backend,
    source,
    options.residence ?? (repack === "off" ? "mapped" : "auto"),
  );
  const bases: Address[] = [];
  const close = () => {
    for (const file of files.values()) file.close();
    for (const base of bases.splice(0)) backend.free(base);
    files.clear();
  };
  try {
    const placed = new Map<string, Placed>();
    const plan: ReadPlan = { jobs: [], slabs: [] };
    for (const spec of weightSpecs(source.config)) {
      const record = source.tensors.get(spec.name)!;
      const dtype = dtypeOf(source, record, spec);
      const mapped = mappedAddress(files.get(record.file), record, dtype);
      if (mapped !== undefined) placed.set(spec.name, { dtype, address: mapped });
      else planRead(plan, { spec, record, dtype });
    }
    const readBytes = plan.slabs.reduce((sum, bytes) => sum + bytes, 0);
    checkMemory(backend, source, readBytes);
    for (const bytes of plan.slabs) bases.push(backend.alloc(bytes));
    const addressOf = ({ slab, offset }: ReadJob) => bases[slab]! + offset;
    await readAll(backend, plan.jobs, { ...options, addressOf, total: readBytes });
    for (const job of plan.jobs) {
      placed.set(job.spec.name, { dtype: job.dtype, address: addressOf(job) });
    }
    const embedding = placed.get("embedding")!.address;
    const places = repack === "off" || backend.name === "cuda"
      ? undefined
      : new SettledWeights(backend, { repack, files: files.values(), embedding });
    return new DecoderWeights(source.config, { placed, readBytes, places, close });
  } catch (error) {
    close();
    throw error;
  }
}

/** Gives a weight its place: behind the one before it if the two multiply as one. */
function planRead(
  { jobs, slabs }: ReadPlan,
  weight: Pick<ReadJob, "spec" | "record" | "dtype">,
): void {
  const bytes = bytesOf(weight.dtype, elementsOf(weight.record));
  const joins = JOINING.has(weight.spec.role) && jobs.at(-1)?.dtype === weight.dtype;
  const last = slabs.length - 1;
  const end = slabs[last] ?? SLAB_BYTES;
  if (!joins && end + bytes > SLAB_BYTES) {
    jobs.push({ ...weight, slab: slabs.length, offset: 0 });
    slabs.push(bytes);
  } else {
    const offset = joins ? end : aligned(end);
    jobs.push({ ...weight, slab: last, offset });
    slabs[last] = offset + bytes;
  }
}

function elementsOf(record: TensorRecord): number {
  return record.shape.reduce((product, extent) => product * extent, 1);
}

/** The element type in memory: norms become f32, matrices stay as they are. */
function dtypeOf(source: DecoderSource, record: TensorRecord, spec: WeightSpec): DType {
  const dtype = WEIGHT_DTYPES.find((known) => known === record.dtype);
  if (dtype === undefined) {
    throw new FormatError(
      `Cannot run ${quoted(source.path)}: tensor ${quoted(record.name)} is ${record.dtype}, ` +
        `${WEIGHT_DTYPES.join(", ")} was wanted`,
      { file: record.file, offset: record.offset },
    );
  }
  return spec.shape.length === 1 ? "f32" : dtype;
}

function mapFiles(
  backend: Backend,
  source: DecoderSource,
  residence: Residence,
): Map<string, MappedFile> {
  const files = new Map<string, MappedFile>();
  if (residence === "read") return files;
  const bytes = source.tensors.values().reduce((sum, record) => sum + record.bytes, 0);
  if (residence === "auto" && bytes <= SMALL_FILE_BYTES) return files;
  for (const { file } of source.tensors.values()) {
    if (files.has(file)) continue;
    const mapped = backend.mapFile(file);
    if (mapped === undefined) return files;
    files.set(file, mapped);
  }
  return files;
}

/** Where a record stands in a mapped file, if kernels can use it there. */
function mappedAddress(
  file: MappedFile | undefined,
  record: TensorRecord,
  dtype: DType,
): Address | undefined {
  if (file === undefined || record.stored !== undefined || record.dtype !== dtype) {
    return undefined;
  }
  // The file may have become shorter since its header was read.
  if (record.offset + record.bytes > file.bytes) return undefined;
  const address = file.address + record.offset;
  return address % (dtype === "f32" ? 4 : 2) === 0 ? address : undefined;
}

function checkMemory(backend: Backend, source: DecoderSource, bytes: number): void {
  if (backend.name !== "wasm" || bytes <= WASM_WEIGHT_LIMIT) return;
  throw new BackendError(
    `Cannot run ${quoted(source.path)} on WebAssembly: its weights take ${formatMemory(bytes)}, ` +
      "and WebAssembly addresses 4 GiB in all",
    { hint: "run it with --backend native, which maps the file: deno task build:native" },
  );
}

interface ReadOptions extends LoadOptions {
  readonly addressOf: (job: ReadJob) => Address;
  readonly total: number;
}

async function readAll(
  backend: Backend,
  jobs: readonly ReadJob[],
  { addressOf, total, progress, signal }: ReadOptions,
): Promise<void> {
  let done = 0;
  for (const job of jobs) {
    const { record, dtype } = job;
    const address = addressOf(job);
    const before = done;
    if (record.dtype === dtype) {
      await readTensorInto(record, (chunk, at) => {
        signal?.throwIfAborted();
        backend.upload(address + at, chunk);
        progress?.(before + at + chunk.length, total);
      });
    } else await readConverted(backend, record, address);
    done += bytesOf(dtype, elementsOf(record));
    progress?.(done, total);
  }
}

/** Reads a norm in another type and converts it to f32 on the backend. */
async function readConverted(
  backend: Backend,
  record: TensorRecord,
  target: Address,
): Promise<void> {
  const raw = backend.alloc(record.bytes);
  try {
    await readTensorInto(record, (chunk, at) => backend.upload(raw + at, chunk));
    backend.kernels.convert({
      out: target,
      x: raw,
      out_dtype: DTYPE_CODES.f32,
      x_dtype: DTYPE_CODES[record.dtype as DType],
      rows: record.shape.length === 2 ? record.shape[0]! : 1,
      dim: record.shape.at(-1)!,
    });
    backend.wait();
  } finally {
    backend.free(raw);
  }
}

/**
 * Reads a tensor to `target` as f32, whatever its element or block type.
 *
 * @throws {FormatError} When its type is none that weights have.
 */
export async function readAsF32(
  backend: Backend,
  { record, target }: { readonly record: TensorRecord; readonly target: Address },
): Promise<void> {
  const { dtype } = record;
  if (!isDType(dtype) || INTEGERS.has(dtype)) {
    throw new FormatError(
      `Cannot train ${quoted(record.file)}: tensor ${quoted(record.name)} is ${dtype}, ` +
        "floating-point numbers or blocks were wanted",
      { file: record.file, offset: record.offset },
    );
  }
  if (dtype !== "f32") return await readConverted(backend, record, target);
  await readTensorInto(record, (chunk, at) => backend.upload(target + at, chunk));
}

const INTEGERS: ReadonlySet<DType> = new Set(["i8", "i32", "i64"]);
