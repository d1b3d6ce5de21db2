/**
 * What stands where in llama2.c's `.bin` files (github.com/karpathy/llama2.c, `export.py`, `run.c` and `runq.c`).
 *
 * Version 0 ("legacy"): 7 int32, float32 arrays, with two rotary tables that nobody needs before the classifier.
 * Version 1: a magic and 256 bytes of header, float32 arrays, norms first. Version 2: the same, but each matrix is int8
 * followed by a float32 scale per group. Tensors have no names in the file; they get those of llama2.c's own model,
 * which are Meta's. Rotary pairs are interleaved, as in Meta's files.
 *
 * @module
 */

/** The header of a llama2.c file, in its own words. */
export interface Llama2cHeader {
  /** 0 (legacy float32), 1 (float32) or 2 (int8 in groups). */
  readonly version: 0 | 1 | 2;
  /** Width of the hidden state. */
  readonly dim: number;
  /** Width of the feed-forward layer. */
  readonly hiddenDim: number;
  /** Number of blocks. */
  readonly layers: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Rows of the embedding. */
  readonly vocabSize: number;
  /** Longest context. */
  readonly sequenceLength: number;
  /** Whether the embedding is the output matrix too. */
  readonly sharedClassifier: boolean;
  /** Version 2: elements that share a scale. */
  readonly groupSize?: number;
}

/** `"ak42"` as the files of version 1 and 2 begin, read as a little-endian number. */
export const LLAMA2C_MAGIC = 0x616b3432;

/** Bytes before the weights. */
export function llama2cHeaderBytes(version: 0 | 1 | 2): number {
  return version === 0 ? 28 : 256;
}

/** One array of the file. */
export interface Llama2cSlot {
  /** The tensor's name, or `undefined` for a rotary table. */
  readonly name: string | undefined;
  /** Extents, outermost axis first. */
  readonly shape: readonly number[];
  /** Whether version 2 keeps it as int8 in groups. */
  readonly quantized: boolean;
}

type Slots = Llama2cSlot[];

/** All arrays of a file in their order. */
export function llama2cSlots(header: Llama2cHeader): Llama2cSlot[] {
  const { dim, hiddenDim, heads, kvHeads, vocabSize, sequenceLength } = header;
  const kvDim = (dim / heads) * kvHeads;
  const layers = Array.from({ length: header.layers }, (_, i) => i);
  const norms = (name: string): Slots =>
    layers.map((i) => ({ name: `layers.${i}.${name}.weight`, shape: [dim], quantized: false }));
  const matrices = (name: string, shape: readonly number[]): Slots =>
    layers.map((i) => ({ name: `layers.${i}.${name}.weight`, shape, quantized: true }));
  const single = (name: string): Slots => [
    { name: `${name}.weight`, shape: [vocabSize, dim], quantized: true },
  ];
  const finalNorm: Slots = [{ name: "norm.weight", shape: [dim], quantized: false }];
  const table: Llama2cSlot = {
    name: undefined,
    shape: [sequenceLength, dim / heads / 2],
    quantized: false,
  };
  const attention = [
    ...matrices("attention.wq", [dim, dim]),
    ...matrices("attention.wk", [kvDim, dim]),
    ...matrices("attention.wv", [kvDim, dim]),
    ...matrices("attention.wo", [dim, dim]),
  ];
  const feedForward = [
    ...matrices("feed_forward.w1", [hiddenDim, dim]),
    ...matrices("feed_forward.w2", [dim, hiddenDim]),
    ...matrices("feed_forward.w3", [hiddenDim, dim]),
  ];
  const embedding = single("tok_embeddings");
  const output = header.sharedClassifier ? [] : single("output");
  const [before, after] = [norms("attention_norm"), norms("ffn_norm")];
  return header.version === 0
    ? [
      ...embedding,
      ...before,
      ...attention,
      ...after,
      ...feedForward,
      ...finalNorm,
      table,
      table,
      ...output,
    ]
    : [...before, ...after, ...finalNorm, ...embedding, ...attention, ...feedForward, ...output];
}

/** Elements of an array: the product of its extents. */
export function slotElements(slot: Llama2cSlot): number {
  return slot.shape.reduce((product, extent) => product * extent, 1);
}

/** Bytes of an array in the file. */
export function slotBytes(slot: Llama2cSlot, header: Llama2cHeader): number {
  const elements = slotElements(slot);
  if (header.version !== 2 || !slot.quantized) return 4 * elements;
  return elements + 4 * (elements / (header.groupSize ?? 1));
}
