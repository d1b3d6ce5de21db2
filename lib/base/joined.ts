/**
 * Typed arrays put together.
 *
 * @module
 */

/** Puts arrays one behind the other into a new one: `joined(Uint8Array, parts)`. */
export function joined<T extends Uint8Array | Uint32Array>(
  Type: new (length: number) => T,
  parts: readonly ArrayLike<number>[],
): T {
  const whole = new Type(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
