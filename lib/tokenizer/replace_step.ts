/**
 * `Replace` steps of `tokenizer.json`: what stands as a text, or matches a pattern, becomes another text
 * (huggingface/tokenizers, normalizers/replace.rs).
 *
 * @module
 */

import type { JsonObject } from "../formats/tokenizer_json.ts";

/** A step that replaces. */
export interface ReplaceStep {
  /** The kind of step. */
  readonly type: "Replace";
  /** How the file says what is replaced: as it stands, or as a pattern. */
  readonly kind: "String" | "Regex";
  /** The text or pattern, as in the file. */
  readonly source: string;
  /** What it becomes. */
  readonly content: string;
  /** What is replaced. */
  readonly pattern: RegExp;
}

/** An atom of a pattern that means the same to Oniguruma and here: a character, a class, white space. */
const ATOM = /\\s|\\[^\p{L}\p{N}\s]|\[\^?[^\\[\]^&-]+\]|[^\\[\](){}.*+?^$|]/u;
/** How often it stands, at least once: a pattern that matches nothing would match everywhere. */
const COUNT = /\+|\{[1-9]\d{0,3}(?:,(?:[1-9]\d{0,3})?)?\}/;
const KNOWN = new RegExp(`^(\\\\A)?((?:(?:${ATOM.source})(?:${COUNT.source})?)+)(\\\\z)?$`, "u");
const WORD = new RegExp(`${ATOM.source}|${COUNT.source}`, "gu");

/** A literal character of a pattern, and a class, as `RegExp` writes them. */
function translate(word: string): string {
  if (word === "\\s") return "\\p{White_Space}";
  const [first, ...rest] = word;
  if (first === "\\") return escaped(rest.join(""));
  return /^[[{+]/.test(word) ? word : escaped(word);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/** A pattern of Oniguruma, if it is one of those that mean the same here. */
function patternOf(source: string): RegExp | undefined {
  const found = KNOWN.exec(source);
  if (found === null) return undefined;
  const [, start, middle, end] = found;
  const words = middle!.match(WORD)!.map(translate).join("");
  return new RegExp(
    `${start === undefined ? "" : "^"}${words}${end === undefined ? "" : "$"}`,
    "gu",
  );
}

/** The step, if it is a `Replace` that is known here. */
export function replaceStep(step: JsonObject | undefined): ReplaceStep | undefined {
  const [content, found] = [step?.get("content"), step?.get("pattern")];
  if (step?.get("type") !== "Replace" || typeof content !== "string") return undefined;
  if (!(found instanceof Map)) return undefined;
  for (const kind of ["String", "Regex"] as const) {
    const source = found.get(kind);
    if (typeof source !== "string" || source === "") continue;
    const pattern = kind === "String" ? new RegExp(escaped(source), "gu") : patternOf(source);
    if (pattern !== undefined) return { type: "Replace", kind, source, content, pattern };
  }
  return undefined;
}
