/**
 * Documents of any length to tokens: short ones many at a time on all threads, long ones as streams.
 *
 * @module
 */

import type { IndexedDatasetWriter } from "../formats/indexed_dataset_write.ts";
import type { TextBlock } from "../formats/text_blocks.ts";
import type {
  CompiledTokenizer,
  StreamEncoder,
  StreamPlace,
} from "../tokenizer/compiled_tokenizer.ts";
import type { EncodeOptions } from "../tokenizer/tokenizer.ts";

/** How documents become tokens. */
export interface DocumentOptions extends Pick<EncodeOptions, "special" | "invalid"> {
  /** The token before each document that has tokens. */
  readonly first?: number | undefined;
  /** The token behind each document that has tokens. */
  readonly last?: number | undefined;
  /** Bytes that are encoded at a time, so that all threads have work; default 8 MiB. */
  readonly batch?: number | undefined;
}

/** How far texts were encoded. */
export interface EncoderPlace {
  /** Where a long document is gone on with, if one was not over. */
  readonly stream: StreamPlace | null;
  /** Bytes of text that were encoded. */
  readonly text: number;
}

const BATCH = 1 << 23;

/** Gathers documents, encodes many at once on all threads, and appends them to a dataset. */
export class DocumentEncoder {
  readonly #tokenizer: CompiledTokenizer;
  readonly #writer: IndexedDatasetWriter;
  readonly #options: DocumentOptions;
  readonly #batch: number;
  #bytes: Uint8Array;
  #length = 0;
  #ends: number[] = [];
  #stream: StreamEncoder | undefined;
  /** Bytes of a long document that came, and of the documents before. */
  #streamed = 0;
  #before: number;

  /** Encodes into `writer`; `from` is where an encoder was before. */
  constructor(
    tokenizer: CompiledTokenizer,
    writer: IndexedDatasetWriter,
    { from, ...options }: DocumentOptions & { readonly from?: EncoderPlace | undefined },
  ) {
    this.#tokenizer = tokenizer;
    this.#writer = writer;
    this.#options = options;
    this.#batch = options.batch ?? BATCH;
    this.#bytes = new Uint8Array(this.#batch);
    const stream = from?.stream ?? undefined;
    this.#streamed = stream?.byte ?? 0;
    this.#before = (from?.text ?? 0) - this.#streamed;
    if (stream !== undefined) this.#stream = tokenizer.encoder({ ...options, from: stream });
  }

  /**
   * Where a long document that is not over can be gone on with; `undefined` outside of one, `null`
   * inside of one that cannot.
   */
  get stream(): StreamPlace | undefined | null {
    return this.#stream === undefined ? undefined : this.#stream.place ?? null;
  }

  /** Bytes of text that were encoded. */
  get text(): number {
    return this.#before + (this.#stream?.place?.byte ?? this.#streamed);
  }

  /** Takes a block of text. */
  push({ bytes, ends }: Pick<TextBlock, "bytes" | "ends">): void {
    let start = 0;
    let i = 0;
    if (this.#stream !== undefined) {
      start = ends[0] ?? bytes.length;
      this.#append(this.#stream.push(bytes.subarray(0, start)));
      this.#streamed += start;
      if (ends.length === 0) return;
      this.#endStream();
      i = 1;
    }
    this.#hold(bytes.subarray(start));
    for (; i < ends.length; i++) {
      this.#ends.push(this.#length - (bytes.length - ends[i]!));
    }
    if (this.#length >= this.#batch) this.flush();
    if (this.#length >= 2 * this.#batch) this.#beginStream();
  }

  /** Encodes all documents that are over. */
  flush(): void {
    const end = this.#ends.at(-1);
    if (end === undefined) return;
    const texts = { bytes: this.#bytes.subarray(0, end), ends: Uint32Array.from(this.#ends) };
    const { ids, counts } = this.#tokenizer.encodeBatch(texts, this.#options);
    this.#appendDocuments(ids, counts);
    this.#before += end;
    this.#ends = [];
    this.#bytes.copyWithin(0, end, this.#length);
    this.#length -= end;
  }

  #hold(more: Uint8Array): void {
    if (this.#length + more.length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + more.length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(more, this.#length);
    this.#length += more.length;
  }

  #beginStream(): void {
    this.#stream = this.#tokenizer.encoder(this.#options);
    this.#append(this.#stream.push(this.#bytes.subarray(0, this.#length)));
    this.#streamed = this.#length;
    this.#length = 0;
  }

  #endStream(): void {
    this.#append(this.#stream!.end());
    this.#stream = undefined;
    this.#before += this.#streamed;
    this.#streamed = 0;
    const { last } = this.#options;
    if (last !== undefined && this.#writer.place.open > 0) {
      this.#writer.append(Uint32Array.of(last));
    }
    this.#writer.endDocument();
  }

  /** Appends ids of a stream, whose document begins with the first of them. */
  #append(ids: Uint32Array): void {
    const { first } = this.#options;
    if (ids.length === 0) return;
    if (first !== undefined && this.#writer.place.open === 0) {
      this.#writer.append(Uint32Array.of(first));
    }
    this.#writer.append(ids);
  }

  #appendDocuments(ids: Uint32Array, counts: Uint32Array): void {
    const { first, last } = this.#options;
    const around = (first === undefined ? 0 : 1) + (last === undefined ? 0 : 1);
    if (around === 0) return this.#writer.appendDocuments(ids, counts);
    const whole = counts.map((count) => count === 0 ? 0 : count + around);
    const all = new Uint32Array(whole.reduce((sum, count) => sum + count, 0));
    let [from, to] = [0, 0];
    for (const count of counts) {
      if (count === 0) continue;
      if (first !== undefined) all[to++] = first;
      all.set(ids.subarray(from, from += count), to);
      to += count;
      if (last !== undefined) all[to++] = last;
    }
    this.#writer.appendDocuments(all, whole);
  }
}
