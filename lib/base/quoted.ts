/**
 * Text from outside, made safe for one line of an error message.
 *
 * @module
 */

/**
 * Puts text in double quotes with control characters and line breaks escaped, and shortens what is longer than
 * `longest` characters, so that a name from a hostile file can neither break the line nor drive the terminal.
 */
export function quoted(text: string, longest: number = 100): string {
  const shown = text.length > longest ? `${text.slice(0, longest)}…` : text;
  // C1 controls and bidirectional marks drive terminals too, and JSON leaves them as they are.
  return onOneLine(JSON.stringify(shown.toWellFormed()));
}

/** What drives terminals or begins a line. */
// deno-lint-ignore no-control-regex -- these are looked for
const DRIVING = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/**
 * A message of someone else that may show text from outside, such as `JSON.parse`'s, with what would
 * break the line or drive the terminal escaped.
 */
export function onOneLine(message: string): string {
  return message.replace(
    DRIVING,
    (c) => c === "\n" ? "\\n" : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** {@linkcode quoted} for a path, which is shown whole. */
export function quotedPath(path: string): string {
  return quoted(path, 4096);
}
