/**
 * The few terminal styles in use; they vanish where the stream takes no colours.
 *
 * @module
 */

import type { Output } from "../io.ts";

/** A terminal style. */
export type Style = "bold" | "dim" | "red" | "yellow" | "green" | "cyan";

const CODES: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  yellow: [33, 39],
  green: [32, 39],
  cyan: [36, 39],
};

/** Styles text for a stream; plain where the stream takes no colours. */
export function styled(text: string, style: Style, output: Pick<Output, "color">): string {
  if (!output.color) return text;
  const [on, off] = CODES[style];
  return `\x1b[${on}m${text}\x1b[${off}m`;
}
