/**
 * Reads typed values out of a config that someone else wrote, with errors that name the file, the
 * key, what stands there and what was wanted.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";

/** A value as an error message shows it: on one line and never long. */
export function shown(value: unknown): string {
  if (value === undefined) return "missing";
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** A record of unknown values; `null` counts as absent. */
export class ConfigFields {
  /** The file, as the user named it. */
  readonly file: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #path: string;

  /** Takes the fields of a record. @throws {ConfigError} Where `values` is none. */
  constructor(values: unknown, options: { readonly file: string; readonly path?: string }) {
    this.file = options.file;
    this.#path = options.path ?? "";
    if (typeof values !== "object" || values === null || Array.isArray(values)) {
      const what = this.#path === "" ? "it" : `"${this.#path.slice(0, -1)}"`;
      throw new ConfigError(
        `Cannot read ${quotedPath(this.file)}: ${what} is ${shown(values)}, an object was wanted`,
      );
    }
    this.#values = values as Record<string, unknown>;
  }

  /** Whether no key is there. */
  get isEmpty(): boolean {
    return Object.keys(this.#values).length === 0;
  }

  /** The value as it stands; `undefined` where it is absent or `null`. */
  raw(key: string): unknown {
    const value = Object.hasOwn(this.#values, key) ? this.#values[key] : undefined;
    return value === null ? undefined : value;
  }

  /** Whether the key is there and not `null`. */
  has(key: string): boolean {
    return this.raw(key) !== undefined;
  }

  /** Throws the error that says what stands at `key` and what was wanted. */
  refuse(key: string, wanted: string): never {
    const is = shown(this.raw(key));
    throw new ConfigError(
      `Cannot read ${quotedPath(this.file)}: ${
        quoted(this.#path + key)
      } is ${is}, ${wanted} was wanted`,
    );
  }

  /** A number, or the fallback where it is absent; required where there is none. */
  number(key: string, fallback?: number): number {
    const value = this.raw(key) ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) this.refuse(key, "a number");
    return value;
  }

  /** A whole number that a double holds exactly. */
  integer(key: string, fallback?: number): number {
    const value = this.raw(key) ?? fallback;
    if (!Number.isSafeInteger(value)) this.refuse(key, "a whole number");
    return value as number;
  }

  /** `true` or `false`. */
  boolean(key: string, fallback?: boolean): boolean {
    const value = this.raw(key) ?? fallback;
    if (typeof value !== "boolean") this.refuse(key, "true or false");
    return value;
  }

  /** A text. */
  string(key: string, fallback?: string): string {
    const value = this.raw(key) ?? fallback;
    if (typeof value !== "string") this.refuse(key, "a text");
    return value;
  }

  /** Whole numbers: a list, a single one, or none where the key is absent. */
  integers(key: string): number[] {
    const value = this.raw(key);
    if (value === undefined) return [];
    const list: unknown[] = Array.isArray(value) ? value : [value];
    if (!list.every((item) => Number.isSafeInteger(item))) {
      this.refuse(key, "a whole number or a list of them");
    }
    return list as number[];
  }

  /** The record inside this one, or `undefined` where it is absent. */
  fields(key: string): ConfigFields | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    return new ConfigFields(value, { file: this.file, path: `${this.#path}${key}.` });
  }
}
