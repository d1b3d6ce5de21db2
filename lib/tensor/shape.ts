/**
 * Shapes: extents of axes, outermost first.
 *
 * @module
 */

import { ShapeError } from "../base/errors.ts";

/** Extents of the axes, outermost first; `[]` is a single number. */
export type Shape = readonly number[];

/**
 * Number of elements: the product of the extents.
 *
 * @throws {ShapeError} When an extent is no count or the product passes 2^53.
 */
export function elementsOf(shape: Shape): number {
  let elements = 1;
  for (const extent of shape) {
    elements *= extent;
    if (!Number.isSafeInteger(extent) || extent < 0 || !Number.isSafeInteger(elements)) {
      throw new ShapeError(
        `Cannot count the elements of ${
          shapeText(shape)
        }: extents from 0 and a product below 2^53 were wanted`,
      );
    }
  }
  return elements;
}

/** Whether two shapes are the same. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

/** A shape as messages show it, for example `[2, 64]`. */
export function shapeText(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}
