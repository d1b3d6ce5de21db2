/**
 * Normalization rules of one's own, compiled as SentencePiece's are: a double-array trie (Darts-clone)
 * over what is replaced, then what it becomes, in texts that NUL ends (google/sentencepiece,
 * builder.cc, `LoadCharsMap` and `CompileCharsMap`).
 *
 * @module
 */

import { FormatError } from "../../base/errors.ts";
import { quoted, quotedPath } from "../../base/quoted.ts";

/** What texts become: `["ß", "ss"]`. */
export type Rules = ReadonlyMap<string, string>;

/** A unit whose label is no byte's, for places that no node has: a zero would be the byte 0. */
const UNUSED = 0x8000_0000;

/** Longer offsets need a coarser unit of the trie, which own rules are far from. */
const LARGEST_OFFSET = 1 << 21;

/**
 * Reads rules: what is replaced and what it becomes, each as code points in hexadecimal with spaces
 * between, a tab between both; without the second it is deleted. Further columns are comments.
 *
 * @throws {FormatError} With the line that is no rule.
 */
export function parseRules(text: string, file: string): Rules {
  const rules = new Map<string, string>();
  text.split(/\r?\n/).forEach((line, i) => {
    if (line.trim() === "") return;
    const columns = line.split("\t");
    const [from, to] = [decodePoints(columns[0]!), decodePoints(columns[1] ?? "")];
    if (from && to !== undefined && !`${from}${to}`.includes("\0")) {
      rules.set(from, to);
      return;
    }
    const what = `line ${i + 1} is no rule: ${quoted(line)}`;
    throw new FormatError(`Cannot read the rules ${quotedPath(file)}: ${what}`, {
      file,
      hint: "a rule is such as 41 302<TAB>C2: code points in hexadecimal, then what they become",
    });
  });
  return rules;
}

/** The characters of code points; `undefined` where they are none. */
function decodePoints(column: string): string | undefined {
  const points = column.split(" ").filter((word) => word !== "");
  if (points.some((word) => !/^(0x)?[0-9a-f]{1,6}$/i.test(word))) return undefined;
  const codes = points.map((word) => parseInt(word, 16));
  const bad = codes.some((code) => code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff));
  return bad ? undefined : String.fromCodePoint(...codes);
}

interface Node {
  readonly children: Map<number, Node>;
  value: number | undefined;
}

function newNode(): Node {
  return { children: new Map(), value: undefined };
}

/** Compiles rules to what a model carries as `precompiled_charsmap`. */
export function compileRules(rules: Rules): Uint8Array {
  const encoder = new TextEncoder();
  const places = new Map<string, number>();
  const root = newNode();
  let texts = "";
  let length = 0;
  for (const [from, to] of rules) {
    if (!places.has(to)) {
      places.set(to, length);
      texts += `${to}\0`;
      length += encoder.encode(to).length + 1;
    }
    let node = root;
    for (const byte of encoder.encode(from)) {
      const child = node.children.get(byte) ?? newNode();
      node.children.set(byte, child);
      node = child;
    }
    node.value = places.get(to)!;
  }
  const units = new DoubleArray(root).units();
  const blob = new Uint8Array(4 + 4 * units.length + length);
  const view = new DataView(blob.buffer);
  view.setUint32(0, 4 * units.length, true);
  units.forEach((unit, i) => view.setUint32(4 + 4 * i, unit, true));
  blob.set(encoder.encode(texts), 4 + 4 * units.length);
  return blob;
}

/**
 * Places a trie in one array: the child of the node at `i` by the byte `c` is at `i ^ offset(i) ^ c`,
 * and its value, if it has one, at `i ^ offset(i)`.
 */
class DoubleArray {
  #units: number[] = [];
  #taken: boolean[] = [true];
  #bases = new Set<number>();
  /** No place before this one is free. */
  #free = 1;

  constructor(root: Node) {
    this.#place(root, 0, 0);
  }

  /** The units; whole blocks of 256, as readers of Darts-clone expect. */
  units(): Uint32Array {
    const count = Math.ceil(this.#taken.length / 256) * 256;
    return Uint32Array.from({ length: count }, (_, i) => this.#units[i] ?? UNUSED);
  }

  #place(node: Node, at: number, label: number): void {
    const labels = [...node.children.keys()].sort((a, b) => a - b);
    if (node.value !== undefined) labels.unshift(0);
    const base = this.#baseFor(labels);
    const offset = at ^ base;
    if (offset >= LARGEST_OFFSET) throw new RangeError("the rules need too large a trie");
    const hasValue = node.value === undefined ? 0 : 1 << 8;
    this.#units[at] = (label | hasValue | offset << 10) >>> 0;
    if (node.value !== undefined) this.#units[base] = (node.value | 1 << 31) >>> 0;
    for (const byte of labels) this.#taken[base ^ byte] = true;
    while (this.#taken[this.#free] === true) this.#free++;
    for (const [byte, child] of node.children) this.#place(child, base ^ byte, byte);
  }

  /** A place from which all labels lead to free ones; no two nodes have the same. */
  #baseFor(labels: readonly number[]): number {
    for (let first = this.#free;; first++) {
      const base = first ^ (labels[0] ?? 0);
      if (base === 0 || this.#bases.has(base)) continue;
      if (labels.some((label) => this.#taken[base ^ label] === true)) continue;
      this.#bases.add(base);
      return base;
    }
  }
}
