/**
 * Llamero as a library: the doors of its rooms.
 *
 * @module
 */

export * from "./lib/base/errors.ts";
