/**
 * Reading llama2.c's `.bin` checkpoints, versions 0, 1 and 2.
 *
 * The legacy version has no magic, so its header is believed only if the file has exactly the length that follows from it.
 *
 * @module
 */

import { InputFile } from "./input_file.ts";
import {
  LLAMA2C_MAGIC,
  type Llama2cHeader,
  llama2cHeaderBytes,
  llama2cSlots,
  slotBytes,
  slotElements,
} from "./llama2c_layout.ts";
import { refusal, type TensorRecord } from "./tensor_file.ts";

/** What a llama2.c file holds. */
export interface Llama2cFile {
  /** The path as the user named it. */
  readonly path: string;
  /** The header, checked against the file's length. */
  readonly header: Llama2cHeader;
  /** Tensors by Meta's names, in the order of the file; interleaved rotary layout. */
  readonly records: ReadonlyMap<string, TensorRecord>;
}

/** More blocks than this are refused. */
const MOST_LAYERS = 10_000;

/** Names of the seven numbers, for messages. */
const FIELDS = [
  "dim",
  "hidden_dim",
  "n_layers",
  "n_heads",
  "n_kv_heads",
  "vocab_size",
  "max_seq_len",
];

/** Reads the header of a llama2.c file, checks it against the file's length, and lists the tensors. */
// deno-lint-ignore require-await -- the promise is the seam: callers must not depend on the reading being synchronous
export async function readLlama2c(path: string): Promise<Llama2cFile> {
  using file = InputFile.open(path);
  const header = readHeader(file);
  checkSize(file, header);
  const records = new Map<string, TensorRecord>();
  let offset = llama2cHeaderBytes(header.version);
  for (const slot of llama2cSlots(header)) {
    const { name, shape } = slot;
    const elements = slotElements(slot);
    if (name !== undefined) {
      const grouped = header.version === 2 && slot.quantized;
      records.set(name, {
        ...{ name, dtype: "f32", shape, file: path, offset, bytes: 4 * elements },
        ...(grouped && {
          stored: { kind: "grouped", group: header.groupSize!, scales: offset + elements },
        }),
      });
    }
    offset += slotBytes(slot, header);
  }
  return { path, header, records };
}

function readHeader(file: InputFile): Llama2cHeader {
  if (file.size < 28) {
    throw refusal(file.path, `it has ${file.size} bytes, and a llama2.c file has at least 28`);
  }
  const head = new DataView(file.read(0, Math.min(256, file.size)).buffer);
  if (head.getUint32(0, true) !== LLAMA2C_MAGIC) {
    const vocabSize = head.getInt32(20, true);
    return { ...readNumbers(file, head, 0), version: 0, sharedClassifier: vocabSize > 0 };
  }
  const version = head.getInt32(4, true);
  if (version !== 1 && version !== 2) {
    throw refusal(file.path, `its llama2.c version is ${version}, wanted 1 or 2`, { offset: 4 });
  }
  if (head.byteLength < 256) {
    throw refusal(file.path, `it has ${file.size} bytes, and its header alone has 256`);
  }
  const shared = head.getUint8(36);
  if (shared > 1) {
    throw refusal(file.path, `its shared_classifier is ${shared}, wanted 0 or 1`, { offset: 36 });
  }
  const numbers = { ...readNumbers(file, head, 8), sharedClassifier: shared === 1 };
  if (version === 1) return { ...numbers, version };
  return { ...numbers, version, groupSize: readGroupSize(file, head, numbers) };
}

type Numbers = Omit<Llama2cHeader, "version" | "sharedClassifier" | "groupSize">;

function readNumbers(file: InputFile, head: DataView, start: number): Numbers {
  const numbers = FIELDS.map((_, i) => head.getInt32(start + 4 * i, true));
  // The sign of the legacy vocabulary says whether the classifier is shared.
  if (start === 0) numbers[5] = Math.abs(numbers[5]!);
  for (const [i, value] of numbers.entries()) {
    if (value >= 1) continue;
    throw refusal(file.path, `its llama2.c header has ${FIELDS[i]} ${value}, wanted 1 or more`, {
      offset: start + 4 * i,
      hint: "the file is probably not a llama2.c checkpoint",
    });
  }
  const [dim, hiddenDim, layers, heads, kvHeads, vocabSize, sequenceLength] = numbers as [
    ...[number, number, number, number, number, number, number],
  ];
  if (layers > MOST_LAYERS) {
    throw refusal(file.path, `its n_layers is ${layers}, and at most ${MOST_LAYERS} are read`, {
      offset: start + 8,
    });
  }
  if (dim % (2 * heads) !== 0) {
    throw refusal(file.path, `its dim ${dim} is no even multiple of its n_heads ${heads}`, {
      offset: start,
    });
  }
  if (heads % kvHeads !== 0) {
    throw refusal(file.path, `its n_heads ${heads} is no multiple of its n_kv_heads ${kvHeads}`, {
      offset: start + 12,
    });
  }
  return { dim, hiddenDim, layers, heads, kvHeads, vocabSize, sequenceLength };
}

function readGroupSize(file: InputFile, head: DataView, numbers: Numbers): number {
  const group = head.getInt32(37, true);
  const { dim, heads, kvHeads, hiddenDim, vocabSize } = numbers;
  const rows = [dim, (dim / heads) * kvHeads, hiddenDim, vocabSize];
  if (group >= 1 && rows.every((count) => (count * dim) % group === 0)) return group;
  throw refusal(
    file.path,
    `its group_size is ${group}, wanted a divisor of the size of every matrix`,
    {
      offset: 37,
    },
  );
}

/** Compares the length that follows from the header with the real one, without listing anything yet. */
function checkSize(file: InputFile, header: Llama2cHeader): void {
  // One block and none differ by the size of a block; numbers below 2^31 keep the products exact or far too large.
  const sizeOf = (layers: number): number =>
    llama2cSlots({ ...header, layers }).reduce((sum, slot) => sum + slotBytes(slot, header), 0);
  const outside = sizeOf(0);
  const wanted = llama2cHeaderBytes(header.version) + outside +
    header.layers * (sizeOf(1) - outside);
  if (wanted === file.size) return;
  throw refusal(
    file.path,
    `it has ${file.size} bytes, and its llama2.c header (dim ${header.dim}, hidden_dim ${header.hiddenDim}, ` +
      `n_layers ${header.layers}, vocab_size ${header.vocabSize}) needs ${wanted}`,
    { offset: 0, hint: "the file is cut short, or it is not a llama2.c checkpoint" },
  );
}
