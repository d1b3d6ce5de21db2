/**
 * The part of `llamero train --plan` about a step on many accelerators: mesh, memory of a rank, traffic,
 * time, and why other meshes are worse.
 *
 * @module
 */

import { ConfigError, UsageError } from "../../lib/base/errors.ts";
import { formatCount, formatDuration, formatInteger, formatMemory } from "../../lib/base/format.ts";
import { quoted } from "../../lib/base/quoted.ts";
import { meshSize, meshText, parseMesh } from "../../lib/comm/mesh.ts";
import { BatchRamp } from "../../lib/data/ramp.ts";
import { hardwareOf } from "../../lib/plan/hardware.ts";
import { USABLE_MEMORY } from "../../lib/plan/mesh_search.ts";
import { planStep, type StepPlan } from "../../lib/plan/step_plan.ts";
import type { StepTraffic } from "../../lib/plan/step_traffic.ts";
import type { ZeroStage } from "../../lib/plan/step_shape.ts";
import type { RunConfig } from "../../lib/train/run_config.ts";
import type { SettingName } from "../../lib/train/settings.ts";
import { memoryKindRows } from "./train_plan_memory.ts";

/** A step on paper, or why there is none. */
export type PlannedStep = StepPlan | { readonly error: string; readonly hint?: string | undefined };

/** Devices that a mesh and `--devices` ask for. @throws {UsageError} Where they contradict each other. */
export function plannedDevices(
  { settings }: RunConfig,
  { devices }: { readonly devices: number | undefined },
): number {
  if (settings.mesh === "auto") return devices ?? 1;
  const ranks = meshSize(parseMesh(settings.mesh));
  if (devices === undefined || devices === ranks) return ranks;
  throw new UsageError(
    `Cannot plan for --devices ${devices} and --mesh ${
      quoted(settings.mesh)
    }: it has ${ranks} ranks`,
    { hint: `--devices ${ranks}, or no --mesh to find the best one for ${devices}` },
  );
}

/**
 * Plans the step of a run; settings that nobody asked for are chosen, those that a model needs more
 * memory for than there is are no error of the command.
 *
 * @throws {ConfigError} Where a mesh that was asked for does not divide model or batch.
 */
export function plannedStep(
  { settings, model, origins }: RunConfig,
  { hardware, devices }: { readonly hardware: string; readonly devices: number },
): PlannedStep {
  const isAsked = (name: SettingName) => (origins.get(name) ?? "default") !== "default";
  const asked = <K extends SettingName>(name: K) => isAsked(name) ? settings[name] : undefined;
  const { seqLen, sequences } = new BatchRamp(settings).at(settings.steps - 1);
  const mesh = settings.mesh === "auto" ? undefined : parseMesh(settings.mesh);
  const settled = {
    mesh,
    microBatch: asked("microBatch"),
    recompute: asked("recompute"),
    zero: asked("zero") as ZeroStage | undefined,
    schedule: asked("pipelineSchedule"),
    stagesPerRank: asked("stagesPerRank"),
  };
  try {
    return planStep({ model, seqLen, sequences, hardware, devices, settled });
  } catch (error) {
    if (mesh !== undefined || !(error instanceof ConfigError)) throw error;
    return { error: error.message, hint: error.hint };
  }
}

/** Cells of a row: a name, a value, a note. */
export type Row = readonly string[];

/** A part of a plan. */
export interface PlanSection {
  /** Its heading. */
  readonly title: string;
  /** What stands below it, a line each. */
  readonly rows: readonly Row[];
}

const percent = (share: number) => `${(100 * share).toFixed(1)}%`;

/** What the sections say besides. */
export interface StepOptions {
  /** The device's name. */
  readonly hardware: string;
  /** Tokens of the run. */
  readonly tokens: number;
  /** Bytes that one checkpoint takes on disk. */
  readonly checkpointBytes: number;
}

/** A step on paper as sections of a plan. */
export function stepSections(step: PlannedStep, options: StepOptions): PlanSection[] {
  if ("error" in step) {
    const rows = [[step.error], ...(step.hint === undefined ? [] : [[`hint: ${step.hint}`]])];
    return [{ title: "Mesh", rows }];
  }
  return [
    { title: "Mesh", rows: meshRows(step) },
    { title: "Memory of the rank that needs the most, in bf16", rows: memoryRows(step, options) },
    { title: "Bytes that a rank sends in a step", rows: trafficRows(step.traffic) },
    { title: "A step on paper", rows: secondsRows(step, options) },
    ...(step.rejected.length > 0 ? [{ title: "Other meshes", rows: rejectedRows(step) }] : []),
  ].filter(({ rows }) => rows.length > 0);
}

const SHARED = [
  "nothing",
  "the optimizer's state",
  "gradients too",
  "weights too",
] as const;

function meshRows(step: StepPlan): Row[] {
  const { mesh, zero, chunks, microBatch, microBatches, recompute, found, planned } = step;
  const ways = `${formatInteger(planned)} ways were planned`;
  const schedule = chunks === 1 ? "1f1b" : `interleaved, ${chunks} stages a rank`;
  return [
    ["mesh", meshText(mesh), found ? `the best; ${ways}` : ""],
    ...(mesh.shard > 1 ? [["zero", String(zero), `shards share ${SHARED[zero]}`]] : []),
    ...(mesh.pipeline > 1
      ? [["pipeline schedule", schedule, chunks > 1 ? `--stages-per-rank ${chunks}` : ""]]
      : []),
    ["micro-batch", String(microBatch), `sequences; ${microBatches} in a step on each rank`],
    ["recompute", recompute],
  ];
}

function memoryRows(
  { memory: bytes, fits }: StepPlan,
  { hardware, checkpointBytes }: StepOptions,
): Row[] {
  const { memory } = hardwareOf(hardware);
  const planned = `of which ${percent(USABLE_MEMORY)} is planned with`;
  return [
    ...memoryKindRows(bytes),
    ["all", formatMemory(bytes.total)],
    ["there is", formatMemory(memory), fits ? planned : "it does not fit"],
    ["a checkpoint of all ranks", formatMemory(checkpointBytes)],
  ];
}

/** What ranks send by kind; nothing where they send nothing. */
export function trafficRows(traffic: StepTraffic): Row[] {
  const kinds: readonly (readonly [string, number])[] = [
    ["gradients, all-reduce", traffic.gradientAllReduce],
    ["gradients, reduce-scatter over shards", traffic.gradientReduceScatter],
    ["weights, all-gather over shards", traffic.weightAllGather],
    ["rows, all-gather over tensor ranks", traffic.tensorAllGather],
    ["rows, reduce-scatter over tensor ranks", traffic.tensorReduceScatter],
    ["rows of tokens, to and from tensor ranks", traffic.tensorSend],
    ["hidden states, from stage to stage", traffic.pipelineSend],
  ];
  const sent = kinds.filter(([, bytes]) => bytes > 0);
  if (sent.length === 0) return [];
  return [...sent, ["all", traffic.total] as const].map(([name, bytes]) => [
    name,
    formatMemory(bytes),
  ]);
}

function secondsRows(
  { seconds, devices, tokensPerSecond, mfu, hidden }: StepPlan,
  { tokens }: StepOptions,
): Row[] {
  const row = (name: string, value: number, note = ""): Row => [
    name,
    value < 1 ? `${(1000 * value).toFixed(1)} ms` : `${value.toFixed(2)} s`,
    [percent(value / seconds.step), note].filter((text) => text !== "").join(", "),
  ];
  const waits: Row[] = [
    ["waiting for tensor ranks", seconds.tensor, ""] as const,
    ["waiting for weights and gradients", seconds.replicas, ""] as const,
    [
      "pipeline bubble",
      seconds.pipeline,
      `${percent(seconds.bubble)} of what the ranks compute`,
    ] as const,
  ].filter(([, value]) => value > 1e-3 * seconds.step).map(([name, value, note]) =>
    row(name, value, note)
  );
  return [
    row("computing", seconds.computing),
    ...waits,
    row("optimizer", seconds.optimizer),
    row("a step", seconds.step),
    ...(devices > 1 ? [["communication that nobody waits for", percent(hidden)]] : []),
    ["tokens per second", formatCount(tokensPerSecond)],
    ...(devices > 1
      ? [["tokens per second and device", formatCount(tokensPerSecond / devices)]]
      : []),
    ["model FLOPs utilization", percent(mfu), "see docs/step_on_paper.md"],
    ["the run", formatDuration(1000 * tokens / tokensPerSecond)],
  ];
}

/** Rejected meshes that are shown: of those that fit, and of those that do not. */
const [SHOWN_SLOWER, SHOWN_LARGER] = [6, 3];

function rejectedRows({ rejected }: StepPlan): Row[] {
  const slower = rejected.filter((one) => one.slower !== undefined);
  const large = rejected.filter((one) => one.slower === undefined);
  const rows = [
    ...slower.slice(0, SHOWN_SLOWER).map(({ mesh, slower: share, reason }) => [
      mesh,
      `+${percent(share!)}`,
      reason,
    ]),
    ...large.slice(0, SHOWN_LARGER).map(({ mesh, reason }) => [mesh, "", reason]),
  ];
  const more = large.length - SHOWN_LARGER;
  return more > 0 ? [...rows, [`and ${more} more that do not fit`]] : rows;
}
