/**
 * SentencePiece's precompiled rules as `tokenizer.json` uses them: by grapheme clusters, where
 * SentencePiece itself replaces the longest sequence that begins at a place
 * (huggingface/tokenizers, precompiled.rs; spm_precompiled 0.1).
 *
 * A cluster of less than six bytes is looked up as a whole, and all of it becomes what the shortest rule
 * at its beginning says; without one, and in longer clusters, every character is looked up for itself.
 *
 * @module
 */

import { graphemeEnd } from "./graphemes.ts";

/** Longer clusters are not looked up as a whole. */
const LONGEST_CLUSTER = 5;
/** How many clusters and characters are remembered with what they become. */
const REMEMBERED = 1 << 16;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The trie of the rules: units of Darts-clone (darts.h). */
const unit = {
  label: (of: number): number => of & 0x8000_00ff,
  offset: (of: number): number => (of >>> 10) << ((of & 0x200) >>> 6),
  hasLeaf: (of: number): boolean => (of >>> 8 & 1) === 1,
  value: (of: number): number => of & 0x7fff_ffff,
};

/** Rules that replace grapheme clusters. */
export class PrecompiledRules {
  /** The rules as they stand in a file. */
  readonly blob: Uint8Array;
  readonly #units: Uint32Array;
  readonly #texts: Uint8Array;
  readonly #known = new Map<string, string | undefined>();

  /** Reads rules: bytes of the trie, the trie, texts that NUL ends. @throws {RangeError} If cut off. */
  constructor(blob: Uint8Array) {
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    const count = Math.floor(view.getUint32(0, true) / 4);
    if (count === 0) throw new RangeError("the trie is empty");
    this.#units = Uint32Array.from({ length: count }, (_, i) => view.getUint32(4 + i * 4, true));
    this.#texts = blob.subarray(4 + count * 4);
    this.blob = blob;
  }

  /** A text by the rules. */
  normalize(text: string): string {
    let out = "";
    for (let at = 0; at < text.length;) {
      const end = graphemeEnd(text, at);
      const cluster = text.slice(at, end);
      out += this.#ofCluster(cluster) ?? this.#byCharacters(cluster);
      at = end;
    }
    return out;
  }

  #ofCluster(cluster: string): string | undefined {
    // One unit of UTF-16 is at least one byte.
    return cluster.length > LONGEST_CLUSTER ? undefined : this.#replacement(cluster);
  }

  #byCharacters(cluster: string): string {
    let out = "";
    for (const character of cluster) out += this.#replacement(character) ?? character;
    return out;
  }

  /** What becomes of a cluster or character, if a rule is for it. */
  #replacement(text: string): string | undefined {
    const known = this.#known.get(text);
    if (known !== undefined || this.#known.has(text)) return known;
    const bytes = encoder.encode(text);
    const found = bytes.length > LONGEST_CLUSTER ? undefined : this.#shortest(bytes);
    if (this.#known.size === REMEMBERED) this.#known.clear();
    this.#known.set(text, found);
    return found;
  }

  /** The replacement of the shortest rule that a text begins with. */
  #shortest(bytes: Uint8Array): string | undefined {
    let place = unit.offset(this.#units[0]!);
    for (const byte of bytes) {
      if (byte === 0) return undefined;
      place ^= byte;
      const found = this.#units[place];
      if (found === undefined || unit.label(found) !== byte) return undefined;
      place ^= unit.offset(found);
      if (unit.hasLeaf(found)) return this.#text(unit.value(this.#units[place] ?? 0));
    }
    return undefined;
  }

  #text(start: number): string {
    const end = this.#texts.indexOf(0, start);
    return decoder.decode(this.#texts.subarray(start, end < 0 ? undefined : end));
  }
}
