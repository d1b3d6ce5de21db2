/**
 * `RUN/report.html`: the course of a run in one file that needs no network.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { writeFileAtomically } from "../base/atomic_file.ts";
import { formatCount, formatDuration, formatInteger } from "../base/format.ts";
import { countParameters } from "../model/parameters.ts";
import { readEvents, sessionMs, type TimedEvent } from "./events.ts";
import { type MetricsRow, readMetrics } from "./metrics.ts";
import { escapeHtml, linePlot, type Point } from "./plot.ts";
import type { RunConfig } from "./run_config.ts";
import type { RunPaths } from "./run_folder.ts";

/** A text that the model wrote while it trained. */
export interface Sample {
  /** Steps done. */
  readonly step: number;
  /** The prompt and what the model wrote. */
  readonly text: string;
}

/**
 * Share of a run's wall time that became steps that were kept; `undefined` before a session has
 * ended. What is lost: starts, evaluations, samples, waits for checkpoints, steps done twice.
 * `runningMs` are the milliseconds of a session that has not ended.
 */
export function goodput(
  rows: readonly MetricsRow[],
  { events, runningMs = 0 }: {
    readonly events: readonly TimedEvent[];
    readonly runningMs?: number;
  },
): number | undefined {
  const wall = sessionMs(events) + runningMs;
  const kept = rows.reduce((sum, { step_ms }) => sum + step_ms, 0);
  return wall > 0 ? Math.min(1, kept / wall) : undefined;
}

/** Milliseconds since the last start, where that session has not ended. */
function runningMs(events: readonly TimedEvent[]): number {
  const last = events.findLast(({ event }) => event === "start" || event === "end");
  return last?.event === "start" ? Date.now() - Date.parse(last.time) : 0;
}

/** Writes the report of what a run's folder has now. @throws {LlameroError} Where it cannot. */
export function writeReport(paths: RunPaths, config: RunConfig): void {
  const rows = readMetrics(paths.metrics);
  const events = readEvents(paths.events);
  const report = formatReport({
    config,
    rows,
    events,
    goodput: goodput(rows, { events, runningMs: runningMs(events) }),
    samples: readSamples(paths.samples, rows.at(-1)?.step ?? 0),
    settings: existsSync(paths.config) ? readFileSync(paths.config, "utf8") : "",
  });
  writeFileAtomically(paths.report, report, { force: true });
}

/** The last sample of each step up to the last. */
function readSamples(path: string, last: number): Sample[] {
  if (!existsSync(path)) return [];
  const samples = new Map<number, Sample>();
  for (const line of readFileSync(path, "utf8").split("\n")) {
    try {
      const sample = JSON.parse(line) as Sample;
      if (sample.step <= last) samples.set(sample.step, sample);
    } catch {
      // A line that a killed process did not finish.
    }
  }
  return [...samples.values()].sort((a, b) => a.step - b.step);
}

/** What a report shows. */
export interface ReportContent {
  /** The run's config. */
  readonly config: RunConfig;
  /** A row a step. */
  readonly rows: readonly MetricsRow[];
  /** What happened besides. */
  readonly events: readonly TimedEvent[];
  /** Share of wall time that became kept steps. */
  readonly goodput: number | undefined;
  /** Texts by the model. */
  readonly samples: readonly Sample[];
  /** `config.toml`. */
  readonly settings: string;
}

const STYLE = `
:root{color-scheme:light dark;--ink:#1d2433;--faint:#8a93a6;--line:#d8dde8;--page:#fff;--a:#2563eb;--b:#e07b00}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9f0;--faint:#8a93a6;--line:#343b4a;--page:#12151c;--a:#7aa7ff;--b:#ffb057}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:1360px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.05rem;margin:1.5rem 0 .3rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1rem}
svg{width:100%;height:auto}svg text{font-size:11px;fill:var(--faint)}.grid{stroke:var(--line);stroke-width:1}
polyline{fill:none;stroke-width:1.5;stroke-linejoin:round}.s0{stroke:var(--a)}.s1{stroke:var(--b);stroke-width:2.5}
.d0{fill:var(--a)}.d1{fill:var(--b)}.key0{color:var(--a)}.key1{color:var(--b)}
table{border-collapse:collapse}td{padding:.1rem 1.2rem .1rem 0;vertical-align:top}td:first-child{color:var(--faint)}
pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);padding:.7rem;border-radius:6px;font-size:13px}
`;

/** The report of a run as one HTML page that needs nothing else: facts, plots, events, samples, settings. */
export function formatReport(content: ReportContent): string {
  const { config, rows, events, samples, settings } = content;
  const title = `Training ${config.preset ?? "a model"}: step ${rows.at(-1)?.step ?? 0} of ` +
    `${config.settings.steps}`;
  const parts = [
    `<h1>${escapeHtml(title)}</h1>`,
    facts(content),
    `<div class="plots">${plots(rows)}</div>`,
    section("What happened", notable(events)),
    section("Samples", samples.map(({ step, text }) => `step ${step}: ${text}`)),
    section("Settings", [settings]),
  ];
  return `<!doctype html>\n<html lang="en"><head><meta charset="utf-8">` +
    `<meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title>` +
    `<style>${STYLE}</style></head><body>\n${parts.join("\n")}\n</body></html>\n`;
}

function facts({ config, rows, events, goodput }: ReportContent): string {
  const exposed = exposedShare(events);
  const last = rows.at(-1);
  const evaluated = rows.findLast(({ eval_loss }) => eval_loss !== undefined);
  const ms = rows.reduce((sum, { step_ms }) => sum + step_ms, 0);
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const list: [string, string | undefined][] = [
    ["parameters", formatInteger(countParameters(config.model).total)],
    ["tokens", last && formatInteger(last.tokens)],
    ["loss", last?.loss?.toFixed(4)],
    [
      "evaluation loss",
      evaluated && `${evaluated.eval_loss!.toFixed(4)} after step ${evaluated.step}`,
    ],
    ["bits per byte", evaluated?.eval_bits_per_byte?.toFixed(4)],
    ["time of the steps", last && formatDuration(ms)],
    ["tokens per second", last && ms > 0 ? formatCount((last.tokens / ms) * 1000) : undefined],
    ["model FLOPs utilization", last && percent(mean(rows.map(({ mfu }) => mfu)))],
    ["goodput", goodput === undefined ? undefined : percent(goodput)],
    ["communication that stays exposed", exposed === undefined ? undefined : percent(exposed)],
  ];
  const cells = list.filter(([, value]) => value !== undefined)
    .map(([name, value]) => `<tr><td>${name}</td><td>${escapeHtml(value!)}</td></tr>`);
  return `<table>${cells.join("")}</table>`;
}

/** Share of all reported time in which ranks waited for one another; nothing for one rank. */
function exposedShare(events: readonly TimedEvent[]): number | undefined {
  const reports = events.filter((event) => event.event === "communication");
  const ms = reports.reduce((sum, report) => sum + report.ms, 0);
  const waited = reports.reduce((sum, report) => sum + report.exposed * report.ms, 0);
  return ms === 0 ? undefined : waited / ms;
}

function plots(rows: readonly MetricsRow[]): string {
  const points = (value: (row: MetricsRow) => number | null | undefined): Point[] =>
    rows.flatMap((row) => {
      const y = value(row);
      return typeof y === "number" && Number.isFinite(y) ? [[row.step, y] as const] : [];
    });
  const list = [
    ["Loss", [
      { name: "training", points: points(({ loss }) => loss) },
      { name: "evaluation", points: points(({ eval_loss }) => eval_loss) },
    ]],
    ["Learning rate", [{ name: "learning rate", points: points(({ lr }) => lr) }]],
    ["Gradient norm", [{ name: "norm", points: points(({ grad_norm }) => grad_norm) }]],
    ["Tokens per second", [
      { name: "tokens per second", points: points((row) => row.tokens_per_second) },
    ]],
  ] as const;
  return list.map(([title, series]) => {
    const shown = series.filter(({ points }) => points.length > 0);
    const keys = shown.length < 2
      ? ""
      : shown.map(({ name }, i) => ` <small class="key${i}">— ${name}</small>`).join("");
    const plot = linePlot(series);
    return plot === "" ? "" : `<section><h2>${title}${keys}</h2>${plot}</section>`;
  }).join("\n");
}

function notable(events: readonly TimedEvent[]): string[] {
  return events.flatMap((event) => {
    switch (event.event) {
      case "start":
        return [`${event.time}  started after step ${event.step} (${event.backend})`];
      case "lost":
        return [`${event.time}  ${event.steps} steps were lost with the process`];
      case "dropped":
        return [`${event.time}  step ${event.step} changed nothing: ${event.reason}`];
      case "spike":
        return [
          `${event.time}  spike in step ${event.step}: ${event.reason}; back to step ` +
          `${event.rewind_to}, ${event.skip_batches} batches skipped from step ${event.skip_step} on`,
        ];
      case "restart":
      case "damaged":
        return [`${event.time}  ${event.event}: ${event.message}`];
      case "communication":
      case "save":
      case "end":
        return [];
    }
  });
}

function section(title: string, texts: readonly string[]): string {
  if (texts.every((text) => text === "")) return "";
  return `<h2>${title}</h2>\n${texts.map((text) => `<pre>${escapeHtml(text)}</pre>`).join("\n")}`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
