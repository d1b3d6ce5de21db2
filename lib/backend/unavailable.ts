/**
 * Why a backend cannot be used, for `open.ts` to report or to pass over.
 *
 * @module
 */

import { BackendError } from "../base/errors.ts";

/** A backend that is not there, or that is there but must not be used. */
export class Unavailable extends BackendError {
  /** The name of this class. */
  override name = "Unavailable";
  /** Whether a library is there that was built from another kernel table. */
  readonly stale: boolean;

  /** The message is the reason alone; `open.ts` puts it into a sentence. */
  constructor(reason: string, options: { readonly hint?: string; readonly stale?: boolean } = {}) {
    super(reason, { hint: options.hint });
    this.stale = options.stale ?? false;
  }
}
