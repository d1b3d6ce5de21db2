/**
 * How long tests wait: long enough for a machine that is busy with other tests, and no limit for speed.
 *
 * @module
 */

/** A refusal comes within a second on an idle machine; what is refused too late takes minutes. */
export const SOON_MS = 10_000;

/** Ranks of a test wait so long for one another, seconds on an idle machine, before they are taken to hang. */
export const PATIENCE_MS = 300_000;
