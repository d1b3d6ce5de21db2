/**
 * The record of `llamero doctor`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";
import { REPORT_OPTIONS, type ReportOptions } from "../options.ts";

/** What `llamero doctor` is called with. */
export type DoctorOptions = ReportOptions;

/** The record of `llamero doctor`. */
export const spec: CommandSpec<DoctorOptions> = {
  name: "doctor",
  group: "This program",
  summary: "what this machine offers, and what is missing",
  description: "Shows the processor's features, the backends that were found and why others were " +
    "not, threads, memory, GPUs and the MPI library. Attach its --json output to a bug report.",
  arguments: {},
  options: REPORT_OPTIONS,
  examples: [
    { command: "llamero doctor", doc: "a page for people" },
    { command: "llamero doctor --json", doc: "the same for programs" },
  ],
  load: () => import("./doctor.ts"),
};
