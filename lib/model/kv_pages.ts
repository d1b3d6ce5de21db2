/**
 * Which page of the cache holds which positions of which sequence: bookkeeping without memory.
 *
 * Sequences share pages by counting references; a shared page is copied when one of its sequences
 * writes to it. Source: Kwon et al. 2023, sections 4.1 and 4.4.
 *
 * @module
 */

/** A page whose content must be copied before the next write. */
export interface PageCopy {
  /** The shared page. */
  readonly from: number;
  /** The page that takes its place in one sequence. */
  readonly to: number;
}

/** A sequence of cached positions 0 .. length - 1; made by {@linkcode KvPages.open}. */
export interface KvSequence {
  /** Positions that are cached. */
  readonly length: number;
  /** Pages in order of position; the last may be partly used. */
  readonly pages: readonly number[];
}

interface MutableSequence extends KvSequence {
  length: number;
  pages: number[];
  isOpen: boolean;
}

/** A pool of pages of `pageSize` positions, lent to sequences. */
export class KvPages {
  /** Positions per page. */
  readonly pageSize: number;
  /** Pages in the pool. */
  readonly pageCount: number;
  readonly #references: Uint32Array;
  /** Pages that were given back; they are lent again before fresh ones. */
  readonly #returned: number[] = [];
  /** Pages from here on were never lent. */
  #fresh = 0;

  /** Makes a pool in which every page is free. */
  constructor(options: { readonly pageCount: number; readonly pageSize: number }) {
    this.pageSize = options.pageSize;
    this.pageCount = options.pageCount;
    this.#references = new Uint32Array(options.pageCount);
  }

  /** Pages that no sequence uses. */
  get freePages(): number {
    return this.#returned.length + this.pageCount - this.#fresh;
  }

  /** Begins an empty sequence. */
  open(): KvSequence {
    const sequence: MutableSequence = { length: 0, pages: [], isOpen: true };
    return sequence;
  }

  /** Begins a sequence with the content of another, of which nothing is copied. */
  fork(parent: KvSequence): KvSequence {
    const { length, pages } = mutable(parent);
    for (const page of pages) this.#references[page]!++;
    const sequence: MutableSequence = { length, pages: [...pages], isOpen: true };
    return sequence;
  }

  /** Pages that {@linkcode KvPages.append} would take from the pool for `count` positions more. */
  pagesFor(sequence: KvSequence, count: number): number {
    if (count === 0) return 0;
    const fresh = this.#pagesOf(sequence.length + count) - sequence.pages.length;
    return fresh + (this.#sharedTail(sequence) === undefined ? 0 : 1);
  }

  /**
   * Makes room for `count` more positions; returns the copy that must be done before they are written.
   *
   * @throws {RangeError} When the pool has too few pages; the sequence is unchanged.
   */
  append(target: KvSequence, count: number): PageCopy | undefined {
    const sequence = mutable(target);
    const needed = this.pagesFor(sequence, count);
    if (needed > this.freePages) {
      throw new RangeError(
        `Cannot cache ${count} more positions: ${this.freePages} pages of ${this.pageSize} ` +
          `positions are free and ${needed} were wanted`,
      );
    }
    if (count === 0) return undefined;
    const from = this.#sharedTail(sequence);
    let copy: PageCopy | undefined;
    if (from !== undefined) {
      copy = { from, to: this.#take() };
      this.#references[from]!--;
      sequence.pages[sequence.pages.length - 1] = copy.to;
    }
    sequence.length += count;
    const wanted = this.#pagesOf(sequence.length);
    while (sequence.pages.length < wanted) sequence.pages.push(this.#take());
    return copy;
  }

  /** Where in the cache position `position` of a sequence stands, in positions from its start. */
  slot(sequence: KvSequence, position: number): number {
    const page = sequence.pages[Math.floor(position / this.pageSize)]!;
    return page * this.pageSize + position % this.pageSize;
  }

  /** Forgets all positions from `length` on. @throws {RangeError} When it has fewer. */
  trim(target: KvSequence, length: number): void {
    const sequence = mutable(target);
    if (!Number.isInteger(length) || length < 0 || length > sequence.length) {
      throw new RangeError(
        `Cannot trim a sequence of ${sequence.length} positions to ${length}`,
      );
    }
    sequence.length = length;
    const wanted = this.#pagesOf(length);
    while (sequence.pages.length > wanted) this.#release(sequence.pages.pop()!);
  }

  /** Forgets the last `count` positions. @throws {RangeError} When it has fewer. */
  rollBack(sequence: KvSequence, count: number): void {
    this.trim(sequence, sequence.length - count);
  }

  /** Ends a sequence and gives its pages back; does nothing the second time. */
  close(target: KvSequence): void {
    const sequence = target as MutableSequence;
    if (!sequence.isOpen) return;
    this.trim(sequence, 0);
    sequence.isOpen = false;
  }

  #pagesOf(length: number): number {
    return Math.ceil(length / this.pageSize);
  }

  /** The last page, where it is partly used and shared, so that a write would be seen by others. */
  #sharedTail(sequence: KvSequence): number | undefined {
    if (sequence.length % this.pageSize === 0) return undefined;
    const page = sequence.pages.at(-1)!;
    return this.#references[page]! > 1 ? page : undefined;
  }

  #take(): number {
    const page = this.#returned.pop() ?? this.#fresh++;
    this.#references[page] = 1;
    return page;
  }

  #release(page: number): void {
    const left = --this.#references[page]!;
    if (left === 0) this.#returned.push(page);
  }
}

function mutable(sequence: KvSequence): MutableSequence {
  const open = sequence as MutableSequence;
  if (!open.isOpen) throw new RangeError("Cannot use a sequence that was closed");
  return open;
}
