/**
 * Unicode's normal forms as huggingface/tokenizers has them.
 *
 * Its tables are those of Unicode 9 (unicode-normalization-alignments 0.1.12), JavaScript's are newer:
 * characters that got a decomposition, a combining class or a composition since then are left as they
 * stand, and what stands around them is normalized apart, as around a character without any of these.
 * `tests/tokenizer/normal_form_test.ts` holds all code points to the reference.
 *
 * @module
 */

/** The name of a normal form. */
export type NormalForm = "NFC" | "NFD" | "NFKC" | "NFKD";

/** All normal forms of Unicode, by the names that `tokenizer.json` gives them. */
export const NORMAL_FORMS: readonly NormalForm[] = ["NFC", "NFD", "NFKC", "NFKD"];

/** Ranges of characters that are newer than the reference's tables and behave otherwise there. */
const NEWER_RANGES = "07FD 0897-089F 08CA-08D3 09FE 0C3C 0D3B-0D3C 0EBA 1715 1ABF-1ACE 1DF6-1DFA " +
  "32FF A7F2-A7F4 A82C AB69 105C9 105D2 105DA 105E4 10781-10785 10787-107B0 107B2-107BA " +
  "10D24-10D27 10D69-10D6D 10EAB-10EAC 10EFD-10EFF 10F46-10F50 10F82-10F85 11070 1133B " +
  "11382-11385 1138B 1138E 11390-11391 113C2 113C5 113C7-113C8 113CE-113D0 1145E 11839-1183A " +
  "11935 11938 1193D-1193E 11943 119E0 11A34 11A47 11A99 11D42 11D44-11D45 11D97 11F41-11F42 " +
  "1611E 16121-16129 1612F 16D63 16D67-16D6A 16FF0-16FF1 1CCD6-1CCF9 1E030-1E06D 1E08F " +
  "1E130-1E136 1E2AE 1E2EC-1E2EF 1E4EC-1E4EF 1E5EE-1E5EF 1F16C 1FBF0-1FBF9";

const NEWER = NEWER_RANGES.replace(/[0-9A-F]+/g, "\\u{$&}").replaceAll(" ", "");
const HAS_NEWER = new RegExp(`[${NEWER}]`, "u");
const NEWER_RUNS = new RegExp(`([${NEWER}]+)`, "u");

/** A text in a normal form. */
export function normalForm(text: string, form: NormalForm): string {
  if (!HAS_NEWER.test(text)) return text.normalize(form);
  // Every other part is a run of newer characters.
  return text.split(NEWER_RUNS).map((part, i) => i % 2 === 1 ? part : part.normalize(form)).join(
    "",
  );
}
