/**
 * What makes two runs the same: everything that decides the weights of every step. A checkpoint
 * carries it, and is refused by a run that differs.
 *
 * @module
 */

import type { TokenSource } from "../data/token_source.ts";
import type { RunConfig } from "./run_config.ts";
import { SETTING_NAMES } from "./setting_checks.ts";
import { kebabCase, RESUMABLE, type SettingName } from "./settings.ts";

/** Values by what a user calls them. */
export type RunIdentity = Readonly<Record<string, unknown>>;

/** Settings that say where something lies, not what it is: a run may be moved. */
const PLACES: ReadonlySet<SettingName> = new Set([
  "data",
  "evalData",
  "tokenizer",
  "init",
  "backend",
]);

/** Describes a run by everything that decides its weights. */
export function identityOf(
  { settings, model }: Pick<RunConfig, "settings" | "model">,
  { sources, backend }: { readonly sources: readonly TokenSource[]; readonly backend: string },
): RunIdentity {
  const deciding = SETTING_NAMES.filter((name) => !RESUMABLE.has(name) && !PLACES.has(name));
  return {
    ...Object.fromEntries(deciding.map((name) => [kebabCase(name), settings[name]])),
    ...Object.fromEntries(
      Object.entries(model).map(([key, value]) => [`model.${kebabCase(key)}`, value]),
    ),
    // Another backend rounds otherwise: the run would go on, but not to the same weights.
    backend,
    data: sources.map(({ tokens }, i) => ({ tokens, weight: settings.data[i]?.weight ?? null })),
  };
}
