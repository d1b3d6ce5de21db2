/**
 * `llamero train --plan`: the resolved run, its memory and its time, and nothing is trained.
 *
 * @module
 */

import { measureFlops } from "../../lib/backend/limits.ts";
import { openBackend } from "../../lib/backend/open.ts";
import { formatCount, formatDuration, formatInteger, formatMemory } from "../../lib/base/format.ts";
import { BatchRamp } from "../../lib/data/ramp.ts";
import type { WeightRole } from "../../lib/model/weights.ts";
import { type PlannedMachine, planTraining, type TrainPlan } from "../../lib/plan/train_plan.ts";
import { formatConfig } from "../../lib/train/config_text.ts";
import type { RunConfig } from "../../lib/train/run_config.ts";
import { trainingOptions } from "../../lib/train/machine.ts";
import { memoryLimit } from "../../lib/train/setup.ts";
import { planMesh, type RanksPlan } from "../../lib/train/rank_plan.ts";
import { checkMesh, meshOf } from "../../lib/train/run_mesh.ts";
import { type Io, writeJson } from "../io.ts";
import { writeTable } from "../ui/table.ts";
import { dataRows, plannedData } from "./train_plan_data.ts";
import { memoryKindRows } from "./train_plan_memory.ts";
import { rankSections } from "./train_plan_ranks.ts";
import { plannedDevices, plannedStep, type Row, stepSections } from "./train_plan_step.ts";

/** What to plan for. */
export interface PlanFlags {
  /** A named machine; this one without it. */
  readonly hardware: string | undefined;
  /** How many. */
  readonly devices: number | undefined;
  /** One object instead of text. */
  readonly json: boolean;
  /** Ranks that a launcher has started. */
  readonly launched: number;
  /** How many GPUs get a rank each, where that is asked. */
  readonly gpus?: number | undefined;
}

/** Prints the plan of a run. */
export async function printPlan(config: RunConfig, flags: PlanFlags, io: Io): Promise<void> {
  const { settings, model, preset } = config;
  const ramp = new BatchRamp(settings);
  const tokens = ramp.tokensBefore(settings.steps);
  const data = plannedData(settings.data, tokens);
  const devices = plannedDevices(config, flags);
  const { hardware } = flags;
  const step = hardware === undefined ? undefined : plannedStep(config, { hardware, devices });
  const ranks = hardware === undefined
    ? plannedRanks(config, {
      devices: Math.max(devices, flags.launched),
      connected: isConnected(config, flags, io),
    })
    : undefined;
  const plan = planTraining({
    preset,
    model,
    tokens,
    seqLen: ramp.at(settings.steps - 1).seqLen,
    training: trainingOptions(settings),
    machine: await machineOf({ hardware, devices }, settings),
    predictedMfu: step === undefined || "error" in step ? undefined : step.mfu,
  });
  if (flags.json) {
    writeJson(io.stdout, { ...plan, step, ranks, tokens, data, settings, model, preset });
    return;
  }
  const sections = [
    section("Parameters", parameterRows(plan)),
    section("Work", [
      ["steps", formatInteger(settings.steps)],
      ["tokens", formatCount(tokens)],
      ["FLOPs per token, matrices", formatCount(plan.flopsPerToken.matrices)],
      ["FLOPs per token, attention", formatCount(plan.flopsPerToken.attention)],
      ["FLOPs of the run", plan.totalFlops.toExponential(3)],
    ]),
    ...(data === undefined ? [] : [section("Data", dataRows(data))]),
    // A rank of many needs what its mesh says; the whole is of interest where there is none.
    ...(ranks === undefined && (step === undefined || "error" in step)
      ? [section("Memory", memoryRows(plan))]
      : []),
    ...(ranks === undefined ? [] : rankSections(ranks)),
    section("Time", timeRows(plan)),
    ...(step === undefined
      ? []
      : stepSections(step, { hardware: hardware!, tokens, checkpointBytes: plan.checkpointBytes })),
  ];
  for (const { title, rows } of sections) {
    io.stdout.write(`${title}\n`);
    writeTable(io.stdout, {
      columns: [{ title: "" }, { title: "", align: "right" }, { title: "" }],
      rows: rows.map(([name, ...rest]) => [`  ${name}`, ...rest]),
    });
    io.stdout.write("\n");
  }
  io.stdout.write(formatConfig(config));
}

/** Ranks of this machine, where there are several. @throws {ConfigError} Where the mesh does not divide. */
function plannedRanks(
  config: RunConfig,
  { devices, connected }: { readonly devices: number; readonly connected: boolean },
): RanksPlan | undefined {
  const ranks = Math.max(devices, config.settings.virtualRanks);
  if (ranks === 1) return undefined;
  checkMesh(config, ranks);
  return planMesh(config, { ...meshOf(config.settings, ranks), connected });
}

/** Whether ranks will have a GPU each, which send each other what they train with. */
function isConnected({ settings }: RunConfig, { launched, gpus }: PlanFlags, { env }: Io): boolean {
  if (launched === 1 || env("LLAMERO_NCCL") === "off") return false;
  return gpus !== undefined || settings.backend === "cuda";
}

function section(title: string, rows: readonly Row[]): { title: string; rows: readonly Row[] } {
  return { title, rows };
}

async function machineOf(
  { hardware, devices }: { readonly hardware: string | undefined; readonly devices: number },
  settings: RunConfig["settings"],
): Promise<PlannedMachine> {
  if (hardware !== undefined) return { hardware, devices };
  const { backend: name, threads, dtype } = settings;
  const backend = await openBackend({ backend: name, threads });
  try {
    await backend.ready();
    const flops = measureFlops(backend);
    const peakFlops = dtype === "bf16" ? 2 * flops : flops;
    return { peakFlops, memory: memoryLimit(backend).bytes, threads: backend.info.threads };
  } finally {
    backend.close();
  }
}

const ROLE_NAMES: readonly (readonly [string, readonly WeightRole[]])[] = [
  ["embedding", ["embedding"]],
  ["attention", ["attention.q", "attention.k", "attention.v", "attention.output"]],
  ["feed-forward", ["feed_forward.gate", "feed_forward.up", "feed_forward.down"]],
  ["norms", ["attention_norm", "feed_forward_norm", "final_norm"]],
  ["head", ["head"]],
];

function parameterRows({ parameters, matrixParameters }: TrainPlan): Row[] {
  const rows = ROLE_NAMES.map(([name, roles]): Row => {
    const count = roles.reduce((sum, role) => sum + parameters.byRole[role], 0);
    return [name, formatInteger(count)];
  });
  return [
    ...rows,
    ["all", formatInteger(parameters.total)],
    ["of them in products of every token", formatInteger(matrixParameters)],
  ];
}

function memoryRows({ bytes, scratchBytes, checkpointBytes, machine }: TrainPlan): Row[] {
  const { total } = bytes;
  const { devices, memory } = machine;
  return [
    ...memoryKindRows(bytes),
    ...(scratchBytes > 0 ? [["the kernels' own", formatMemory(scratchBytes)]] : []),
    ["all", formatMemory(total + scratchBytes)],
    ...(devices > 1 ? [["shared evenly, per device", formatMemory(total / devices)]] : []),
    ["there is, per device", formatMemory(memory)],
    ["a checkpoint, and its copy while it is saved", formatMemory(checkpointBytes)],
  ];
}

function timeRows({ machine, mfu, mfuSource, tokensPerSecond, seconds }: TrainPlan): Row[] {
  const { name, devices, peakFlops } = machine;
  return [
    ["machine", devices > 1 ? `${devices} x ${name}` : name],
    // 10^9 operations are a giga, where 10^9 tokens are a billion.
    ["peak per device", `${formatCount(peakFlops).replace("B", "G")}FLOP/s`],
    ["model FLOPs utilization", `${(100 * mfu).toFixed(1)}%`, mfuSource],
    ["tokens per second", formatCount(tokensPerSecond)],
    ...(devices > 1
      ? [["tokens per second and device", formatCount(tokensPerSecond / devices)]]
      : []),
    ["time", formatDuration(1000 * seconds)],
  ];
}
