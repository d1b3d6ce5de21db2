/** A backend that counts what it is asked for, for tests of plans of memory. */

import type { Backend } from "../lib/backend/backend.ts";

/** The backend, and the bytes that were asked of it through this view. */
export interface CountedBackend {
  /** Does what the backend does. */
  readonly backend: Backend;
  /** Bytes that it has given, also where they were given back since. */
  readonly taken: () => number;
  /** The most bytes that it had given at once. */
  readonly most: () => number;
}

/** Counts bytes from now on; what the backend gave before is in none of the counts. */
export function countedBackend(backend: Backend): CountedBackend {
  const sizes = new Map<number, number>();
  let [taken, now, most] = [0, 0, 0];
  const counted: Pick<Backend, "alloc" | "free"> = {
    alloc(bytes) {
      const address = backend.alloc(bytes);
      sizes.set(address, bytes);
      taken += bytes;
      most = Math.max(most, now += bytes);
      return address;
    },
    free(address) {
      now -= sizes.get(address) ?? 0;
      sizes.delete(address);
      backend.free(address);
    },
  };
  const view = new Proxy(backend, {
    get(target, name) {
      if (name === "alloc" || name === "free") return counted[name];
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { backend: view, taken: () => taken, most: () => most };
}
