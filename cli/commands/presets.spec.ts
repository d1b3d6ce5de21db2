/**
 * The record of `llamero presets`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";
import { REPORT_OPTIONS, type ReportOptions } from "../options.ts";

/** What `llamero presets` is told by options. */
export type PresetsOptions = ReportOptions;

/** What `llamero presets` is called with. */
export interface PresetsArguments {
  /** The preset to resolve; all are listed without it. */
  readonly name?: string;
}

/** The record of `llamero presets`. */
export const spec: CommandSpec<PresetsOptions, PresetsArguments> = {
  name: "presets",
  group: "Models",
  summary: "the models and recipes that are known, or one of them resolved",
  arguments: {
    name: { value: "NAME", doc: "a preset, such as llama-15m or llama3-8b" },
  },
  options: REPORT_OPTIONS,
  examples: [
    { command: "llamero presets", doc: "all of them with their sizes" },
    { command: "llamero presets palm-540b", doc: "config and recipe of one" },
    { command: "llamero presets llama-15m --json", doc: "the same for programs" },
  ],
  load: () => import("./presets.ts"),
};
