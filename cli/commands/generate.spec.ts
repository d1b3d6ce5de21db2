/**
 * The record of `llamero generate`.
 *
 * @module
 */

import { UsageError } from "../../lib/base/errors.ts";
import type { CommandSpec, OptionSpecs } from "../command.ts";
import { integer, InvalidValue, real } from "../option_values.ts";
import { COMPUTE_OPTIONS, type ComputeOptions, MODEL_TOKENIZER } from "../options.ts";
import { MODEL_OPTIONS, type ModelFlags } from "./model_options.spec.ts";

/** How the next token is chosen. */
export interface SamplingFlags {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Most likely tokens that are kept; 0 keeps all. */
  readonly topK: number;
  /** Probability that the kept tokens reach. */
  readonly topP: number;
  /** Least probability, as a share of the largest. */
  readonly minP: number;
  /** What the logits of earlier tokens are divided by. */
  readonly repeatPenalty: number;
}

/** What is said to whom. */
export interface ChatFlags {
  /** Whether texts are messages, put into the model's chat template. */
  readonly chat: boolean;
  /** What the model is told before all else. */
  readonly system: string | undefined;
}

/** What the text has to follow. */
export interface FormFlags {
  /** A file with a JSON schema. */
  readonly jsonSchema: string | undefined;
  /** A file with a grammar. */
  readonly grammar: string | undefined;
}

/** How more than one token comes of a pass, and what is kept for the next run. */
export interface SpeedFlags {
  /** A small model that guesses. */
  readonly draft: string | undefined;
  /** Whether the text so far guesses. */
  readonly lookup: boolean;
  /** Most guesses at once. */
  readonly draftTokens: number;
  /** A file with the keys and values of the prompt. */
  readonly promptCache: string | undefined;
}

/** What `llamero generate` is called with. */
export interface GenerateCommandOptions
  extends ComputeOptions, SamplingFlags, ModelFlags, ChatFlags, FormFlags, SpeedFlags {
  /** A model in any format. */
  readonly model: string;
  /** A tokenizer besides the model's own. */
  readonly tokenizer: string | undefined;
  /** The text to continue; without it that of `promptFile`, or stdin's. */
  readonly prompt: string | undefined;
  /** A file with the prompt. */
  readonly promptFile: string | undefined;
  /** A file with many prompts. */
  readonly prompts: string | undefined;
  /** Most tokens to generate. */
  readonly maxTokens: number;
  /** Strings that end the text. */
  readonly stop: readonly string[];
  /** Whether end tokens are never chosen. */
  readonly ignoreEos: boolean;
  /** Most likely tokens whose log-probabilities are told at each position. */
  readonly logprobs: number | undefined;
}

/** Specs of {@linkcode ChatFlags}. */
const CHAT_OPTIONS: OptionSpecs<ChatFlags> = {
  chat: {
    group: "Chat",
    doc: "answer messages by the model's chat template; a conversation on a terminal",
  },
  system: { group: "Chat", value: "TEXT", doc: "what the model is told before all else" },
};

/** Specs of {@linkcode FormFlags}. */
const FORM_OPTIONS: OptionSpecs<FormFlags> = {
  jsonSchema: {
    group: "Form",
    value: "FILE",
    doc: "write JSON that fits this JSON Schema, or fail where a keyword cannot be followed",
  },
  grammar: { group: "Form", value: "FILE", doc: "write what this grammar gives (GBNF)" },
};

/** Specs of {@linkcode SpeedFlags}. */
const SPEED_OPTIONS: OptionSpecs<SpeedFlags> = {
  draft: {
    group: "Speed",
    value: "PATH",
    doc: "a small model of the same family that guesses tokens; the text stays the same",
  },
  lookup: { group: "Speed", doc: "guess tokens by what followed the same words earlier" },
  draftTokens: {
    group: "Speed",
    value: "N",
    parse: integer({ min: 1, max: 64 }),
    default: 8,
    doc: "most tokens that are guessed at once",
  },
  promptCache: {
    group: "Speed",
    value: "FILE",
    doc: "keep the computed prompt in this file, and begin with what it holds",
  },
};

/** Specs of {@linkcode SamplingFlags}. */
const SAMPLING_OPTIONS: OptionSpecs<SamplingFlags> = {
  temperature: {
    group: "Sampling",
    value: "T",
    parse: real({ min: 0 }),
    default: 0.8,
    doc: "how bold the choice is; 0 always takes the most likely token",
  },
  topK: {
    group: "Sampling",
    value: "K",
    parse: integer({ min: 0 }),
    default: 40,
    doc: "choose among the K most likely tokens; 0 is off",
  },
  topP: {
    group: "Sampling",
    value: "P",
    parse: real({ above: 0, max: 1 }),
    default: 0.95,
    doc: "choose among the most likely tokens that together reach this probability; 1 is off",
  },
  minP: {
    group: "Sampling",
    value: "P",
    parse: real({ min: 0, max: 1 }),
    default: 0.05,
    doc: "drop tokens less likely than this share of the most likely one; 0 is off",
  },
  repeatPenalty: {
    group: "Sampling",
    value: "R",
    parse: real({ above: 0 }),
    default: 1,
    doc: "divide the logits of tokens that occurred before; 1 is off",
  },
};

/** The record of `llamero generate`. */
export const spec: CommandSpec<GenerateCommandOptions> = {
  name: "generate",
  group: "Generation",
  summary: "continue a text with a model",
  description: "Streams the continuation, not the prompt, to stdout. Without --prompt the prompt " +
    "is read from --prompt-file or stdin, less one line break at its end; an empty one starts a " +
    "new text. The filters see the probabilities at temperature 1, in the order penalty, top-k, " +
    "top-p, min-p.",
  arguments: {},
  options: {
    model: { value: "PATH", required: true, doc: "a model in any format" },
    tokenizer: MODEL_TOKENIZER,
    prompt: { value: "TEXT", doc: "the text to continue" },
    promptFile: { value: "FILE", doc: "a file with the text to continue, or - for stdin" },
    prompts: {
      value: "FILE",
      doc: 'continue many prompts together: JSON Lines of strings, or of objects with "prompt"',
    },
    maxTokens: {
      value: "N",
      parse: integer({ min: 0 }),
      default: 256,
      doc: "most tokens to generate",
    },
    stop: {
      value: "S",
      repeat: "each",
      parse: stopString,
      doc: "end the text before this string",
    },
    ignoreEos: { doc: "never choose a token that ends the text" },
    logprobs: {
      value: "N",
      parse: integer({ min: 0, max: 1000 }),
      doc:
        "with --json or --prompts, tell the log-probabilities of each token and of the N likeliest",
    },
    ...CHAT_OPTIONS,
    ...FORM_OPTIONS,
    ...SAMPLING_OPTIONS,
    ...SPEED_OPTIONS,
    ...MODEL_OPTIONS,
    ...COMPUTE_OPTIONS,
  },
  examples: [
    {
      command: 'llamero generate --model model/ --prompt "Once upon a time"',
      doc: "continue a text",
    },
    {
      command: "llamero generate --model model.gguf --prompt-file story.txt --max-tokens 64",
      doc: "the same with a prompt from a file",
    },
    {
      command: "llamero generate --model model/ --temperature 0 --json < story.txt",
      doc: "always the most likely token; text, tokens and timings for programs",
    },
    {
      command: "llamero generate --model model/ --prompts questions.jsonl > answers.jsonl",
      doc: "many prompts together, one JSON object a line",
    },
    {
      command: 'llamero generate --model model/ --chat --system "Answer in one sentence."',
      doc: "a conversation",
    },
  ],
  check: checkCombination,
  load: () => import("./generate.ts"),
};

function stopString(text: string): string {
  if (text === "") throw new InvalidValue("a text that is not empty");
  return text;
}

/** Flags of which a command line can have only one. */
const EXCLUSIVE:
  readonly (readonly [keyof GenerateCommandOptions, keyof GenerateCommandOptions])[] = [
    ["prompt", "promptFile"],
    ["prompt", "prompts"],
    ["promptFile", "prompts"],
    ["draft", "lookup"],
    ["prompts", "draft"],
    ["prompts", "lookup"],
    ["prompts", "promptCache"],
    ["chat", "promptCache"],
    ["jsonSchema", "grammar"],
    ["jsonSchema", "ignoreEos"],
    ["grammar", "ignoreEos"],
  ];

function checkCombination(values: GenerateCommandOptions): void {
  const refuse = (what: string, hint?: string) =>
    new UsageError(`Cannot run "llamero generate": ${what}`, hint === undefined ? {} : { hint });
  const given = (key: keyof GenerateCommandOptions) =>
    values[key] !== undefined && values[key] !== false;
  const flag = (key: string) => `--${key.replace(/[A-Z]/g, (x) => `-${x.toLowerCase()}`)}`;
  for (const [one, other] of EXCLUSIVE) {
    if (!given(one) || !given(other)) continue;
    throw refuse(`${flag(one)} and ${flag(other)} exclude each other`);
  }
  if (given("system") && !values.chat) {
    throw refuse("--system is said in a chat", "add --chat");
  }
  if (given("logprobs") && !values.json && !given("prompts")) {
    throw refuse("--logprobs stand in JSON", "add --json");
  }
}
