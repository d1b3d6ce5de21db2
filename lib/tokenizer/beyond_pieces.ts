/**
 * What a `tokenizer.json` says that pieces with scores cannot: SentencePiece models, GGUF and
 * tokenizer.bin hold no more than these.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import { pieceCount, type PieceList, pieceText } from "../formats/piece_list.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { FLAG, NONE, PREFIX, SPECIAL_FLAG } from "./description.ts";
import { isMarks, mergesOfScores } from "./merge_list.ts";

/** Whether some piece goes on behind a space inside it. */
function reachesOverSpaces(pieces: PieceList): boolean {
  for (let id = 0; id < pieceCount(pieces); id++) {
    if (pieceText(pieces, id).lastIndexOf("\u2581") > 0) return true;
  }
  return false;
}

/** Merges that stand side by side and make one piece: the lengths of their left halves. */
interface Split {
  readonly piece: string;
  readonly lefts: readonly number[];
}

function* splits(merges: Iterable<readonly [string, string]>): Generator<Split> {
  let last: { piece: string; lefts: number[] } | undefined;
  for (const [left, right] of merges) {
    const piece = left + right;
    if (last?.piece === piece) last.lefts.push(left.length);
    else {
      if (last !== undefined) yield last;
      last = { piece, lefts: [left.length] };
    }
  }
  if (last !== undefined) yield last;
}

function* listed({ description }: TokenizerDefinition): Generator<readonly [string, string]> {
  const { bytes, ends } = description.merges;
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const text = (i: number): string =>
    decoder.decode(bytes.subarray(i === 0 ? 0 : ends[i - 1], ends[i]));
  for (let i = 0; i < ends.length; i += 2) yield [text(i), text(i + 1)];
}

/**
 * Whether the listed merges are all that the pieces allow, in the order of their scores. In which order
 * the merges of one piece stand tells something only of runs of spaces.
 */
function mergesAreOfScores(definition: TokenizerDefinition, pieces: PieceList): boolean {
  const texts = mergesOfScores(pieces).merges;
  const own = splits(
    Iterator.from(texts).map(([left, right]) =>
      [pieceText(pieces, left), pieceText(pieces, right)] as const
    ),
  );
  const inOrder = ({ piece, lefts }: Split): string =>
    `${piece} ${isMarks(piece) ? lefts : lefts.toSorted((a, b) => a - b)}`;
  for (const split of splits(listed(definition))) {
    const next = own.next();
    if (next.done === true || inOrder(next.value) !== inOrder(split)) return false;
  }
  return own.next().done === true;
}

/**
 * What a tokenizer whose characters merge by a list does otherwise than its pieces with scores would,
 * if there is such a thing; `pieces` have these scores.
 */
export function beyondPieces(
  definition: TokenizerDefinition,
  pieces: PieceList,
): string | undefined {
  const { flags, unknown } = definition.description;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if (!has(FLAG.list)) return undefined;
  if (has(FLAG.splitSpaces) && reachesOverSpaces(pieces)) {
    return "it merges nothing across spaces, and has pieces with spaces inside";
  }
  if (!has(FLAG.byteFallback) && (unknown === NONE || !has(FLAG.fuseUnknown))) {
    return "characters without a piece do not become one unknown piece";
  }
  if (!mergesAreOfScores(definition, pieces)) return "its merges are not those of scores";
  return undefined;
}

/**
 * The few texts whose ids will be others where a tokenizer is written as pieces with scores, although
 * {@linkcode beyondPieces} has nothing against it; `undefined` where there are none.
 */
export function nearPieces(
  { description, model }: TokenizerDefinition,
): string | undefined {
  const { flags, prefix, specials } = description;
  if (model !== undefined || (flags & FLAG.list) === 0) return undefined;
  if (prefix === PREFIX.unlessSpace || prefix === PREFIX.unlessSpaceAtStart) {
    return "texts that begin with a space, and what stands behind special tokens";
  }
  const text = specials.find((token) => (token.flags & SPECIAL_FLAG.always) !== 0);
  if (text === undefined) return undefined;
  return `what stands behind ${quoted(text.name)}, where it begins a text anew`;
}

/** Refuses to write as `target` what pieces with scores cannot hold. @throws {FormatError} */
export function refuseBeyondPieces(
  definition: TokenizerDefinition,
  { pieces, target }: { readonly pieces: PieceList; readonly target: string },
): void {
  const what = beyondPieces(definition, pieces);
  if (what === undefined) return;
  const { file } = definition;
  throw new FormatError(`Cannot write the tokenizer ${quoted(file)} as ${target}: ${what}`, {
    file,
    hint: "put the model's own tokenizer.model beside it, which is taken first",
  });
}
