/**
 * The record of `llamero train`.
 *
 * @module
 */

import { UsageError } from "../../lib/base/errors.ts";
import type { CommandSpec, OptionSpecs } from "../command.ts";
import { integer } from "../option_values.ts";
import { COMPUTE_OPTIONS, type ComputeOptions } from "../options.ts";
import { RANK_OPTIONS, type RankFlags } from "./train_ranks.spec.ts";
import { RECIPE_OPTIONS, type RecipeFlags } from "./train_recipe.spec.ts";

/** What a run is made of. */
export interface RunFlags {
  /** The run's folder. */
  readonly out: string | undefined;
  /** Name of a model and its recipe. */
  readonly preset: string | undefined;
  /** A file of settings. */
  readonly config: string | undefined;
  /** Path of a tokenizer file, or of a folder that has one. */
  readonly tokenizer: string | undefined;
  /** Indexed datasets, each with weight and epochs. */
  readonly data: readonly string[];
  /** Texts, tokenized on the way. */
  readonly text: readonly string[];
  /** What the texts are. */
  readonly inputFormat: "text" | "jsonl";
  /** What a document of plain text is. */
  readonly document: "file" | "paragraph";
  /** The field of text in lines of JSON. */
  readonly field: string;
  /** Indexed datasets or texts to evaluate on. */
  readonly evalData: readonly string[];
  /** A model to begin with. */
  readonly init: string | undefined;
  /** Goes on with the run. */
  readonly resume: boolean;
  /** Replaces a run. */
  readonly force: boolean;
}

/** How a run goes on, what it saves and says. */
export interface CourseFlags {
  /** Recovers from spikes. */
  readonly skipSpikes: boolean;
  /** Starts again after failures. */
  readonly restarts: number | undefined;
  /** Steps between checkpoints. */
  readonly saveEvery: number | undefined;
  /** Checkpoints kept. */
  readonly keep: number | undefined;
  /** Steps between evaluations. */
  readonly evalEvery: number | undefined;
  /** Most held-out sequences that one evaluation judges. */
  readonly evalSequences: number | undefined;
  /** Steps between samples. */
  readonly sampleEvery: number | undefined;
  /** Tokens that a sample of text goes on for. */
  readonly sampleTokens: number | undefined;
  /** What samples continue. */
  readonly samplePrompt: string | undefined;
  /** Steps between lines. */
  readonly logEvery: number | undefined;
  /** Prints the plan alone. */
  readonly plan: boolean;
  /** A machine to plan for. */
  readonly hardware: string | undefined;
  /** Devices to plan for. */
  readonly devices: number | undefined;
}

/** What `llamero train` is called with. */
export interface TrainOptions
  extends ComputeOptions, RunFlags, RecipeFlags, CourseFlags, RankFlags {}

const count = integer({ min: 1 });
const countOr0 = integer({ min: 0 });

/** Specs of {@linkcode CourseFlags}. */
const COURSE_OPTIONS: OptionSpecs<CourseFlags> = {
  skipSpikes: {
    group: "Course",
    doc: "when the loss jumps, go back 100 steps or more and skip 200 to 500 batches (PaLM)",
  },
  restarts: {
    group: "Course",
    value: "N",
    parse: countOr0,
    defaultDoc: "0",
    doc: "start again from the last checkpoint after so many failures",
  },
  saveEvery: {
    group: "Course",
    value: "N",
    parse: count,
    defaultDoc: "a tenth of the steps",
    doc: "steps between checkpoints",
  },
  keep: {
    group: "Course",
    value: "N",
    parse: count,
    defaultDoc: "3",
    doc: "checkpoints that are kept",
  },
  evalEvery: {
    group: "Course",
    value: "N",
    parse: count,
    defaultDoc: "as --save-every",
    doc: "steps between evaluations",
  },
  evalSequences: {
    group: "Course",
    value: "N",
    parse: count,
    defaultDoc: "64",
    doc: "sequences of an evaluation at most",
  },
  sampleEvery: {
    group: "Course",
    value: "N",
    parse: count,
    defaultDoc: "as --save-every",
    doc: "steps between samples of text",
  },
  sampleTokens: {
    group: "Course",
    value: "N",
    parse: count,
    defaultDoc: "64",
    doc: "tokens of a sample",
  },
  samplePrompt: { group: "Course", value: "TEXT", doc: "what samples continue" },
  logEvery: {
    group: "Course",
    value: "N",
    parse: count,
    defaultDoc: "10",
    doc: "steps between lines of the log",
  },
  plan: { group: "Plan", doc: "print the resolved run, its memory and time, and stop" },
  hardware: {
    group: "Plan",
    value: "NAME",
    defaultDoc: "this machine",
    doc: "a machine to plan for: a100-40gb, a100-80gb, h100-80gb, h200 or tpu-v4",
  },
  devices: {
    group: "Plan",
    value: "N",
    parse: count,
    defaultDoc: "those of --mesh, or 1",
    doc: "how many of them; the best mesh for them is found where --mesh says none",
  },
};

/** Refuses what contradicts `--gpus`. */
function checkGpus({ gpus, backend, virtualRanks }: TrainOptions): void {
  if (gpus === undefined) return;
  if (virtualRanks !== undefined) {
    throw new UsageError(
      'Cannot run "llamero train": --gpus and --virtual-ranks exclude each other',
      { hint: "--gpus starts a process for each GPU, --virtual-ranks none" },
    );
  }
  if (backend === "auto" || backend === "cuda") return;
  throw new UsageError(
    `Cannot run "llamero train": --gpus ${gpus} and --backend ${backend} exclude each other`,
    { hint: `mpirun -n ${gpus} llamero train starts processes that compute on the processor` },
  );
}

/** The record of `llamero train`. */
export const spec: CommandSpec<TrainOptions> = {
  name: "train",
  group: "Training",
  summary: "train a model from text to checkpoint",
  description:
    "Settings come from flags, then --config, then the preset; RUN/config.toml has them " +
    "all, with where each came from. A run that was stopped in any way goes on with --resume, to " +
    "the same bits. SIGINT finishes the step and saves. Checkpoints are Hugging Face folders in " +
    "RUN/checkpoints; RUN/report.html shows the course.",
  arguments: {},
  options: {
    out: { value: "DIR", doc: "the folder of the run" },
    preset: { value: "NAME", doc: "a model and its recipe; llamero presets lists them" },
    config: { value: "FILE", doc: "settings as TOML; keys are the names of these options" },
    tokenizer: { value: "PATH", doc: "a tokenizer file, or a folder that has one" },
    data: {
      value: "PREFIX",
      repeat: "many",
      doc: "an indexed dataset, as PREFIX[=WEIGHT[:MAX_EPOCHS]]",
    },
    text: { value: "FILE", repeat: "many", doc: "texts to tokenize on the way, instead of --data" },
    inputFormat: {
      value: "FORMAT",
      choices: ["text", "jsonl"],
      default: "text",
      doc: "texts are plain text, or lines of JSON that are a document each",
    },
    document: {
      value: "WHAT",
      choices: ["file", "paragraph"],
      default: "file",
      doc: "in plain text, a whole file is a document, or what stands between blank lines",
    },
    field: { value: "NAME", default: "text", doc: "the field of text in lines of JSON" },
    evalData: { value: "PREFIX", repeat: "many", doc: "an indexed dataset or text to evaluate on" },
    init: { value: "PATH", doc: "a model to begin with, instead of random weights" },
    resume: { doc: "go on with the run in --out" },
    force: { doc: "replace the run in --out" },
    ...RECIPE_OPTIONS,
    ...COURSE_OPTIONS,
    ...RANK_OPTIONS,
    ...COMPUTE_OPTIONS,
  },
  examples: [
    {
      command: "llamero train --out run/ --preset debug --tokenizer tok/ --text book.txt",
      doc: "a small model of one text",
    },
    {
      command:
        "llamero train --out run/ --preset llama-15m --tokenizer tok/ --data web=0.9 --data " +
        "books=0.1:2 --tokens 300e6",
      doc: "a mixture of two datasets, the second seen at most twice",
    },
    { command: "llamero train --out run/ --resume", doc: "go on with a run that was stopped" },
    {
      command: "llamero train --out run/ --resume --virtual-ranks 4 --mesh data=2,tensor=2",
      doc: "go on with it on four ranks of one process; mpirun -n 4 starts processes instead",
    },
    {
      command: "llamero train --out run/ --resume --gpus 8 --mesh data=8",
      doc: "go on with it on eight GPUs of this machine",
    },
    {
      command: "llamero train --preset llama1-65b --plan --hardware a100-80gb --devices 2048",
      doc: "memory, time and the best mesh of a large run on paper",
    },
  ],
  check: (values) => {
    const { out, data, text, resume, init, force, plan, hardware, devices } = values;
    checkGpus(values);
    if (out === undefined && !plan) {
      throw new UsageError('Cannot run "llamero train": --out DIR is missing', {
        hint: "llamero train --help shows how it is called",
      });
    }
    if (!plan && (hardware !== undefined || devices !== undefined)) {
      throw new UsageError('Cannot run "llamero train": --hardware and --devices need --plan');
    }
    const refuse = (a: string, b: string) => {
      throw new UsageError(`Cannot run "llamero train": ${a} and ${b} exclude each other`);
    };
    if (data.length > 0 && text.length > 0) refuse("--data", "--text");
    if (resume && init !== undefined) refuse("--resume", "--init");
    if (resume && force) refuse("--resume", "--force");
  },
  load: () => import("./train.ts"),
};
