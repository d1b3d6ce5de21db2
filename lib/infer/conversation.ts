/**
 * A conversation with a model by its chat template. What has been said stays cached: a turn computes
 * only what is new.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import { DEFAULT_TEMPLATE, readChatTemplates } from "../checkpoint/chat_templates.ts";
import type { DecoderSession } from "../model/decoder.ts";
import type { KvSequence } from "../model/kv_pages.ts";
import { type ChatMessage, ChatTemplate } from "../tokenizer/chat_template.ts";
import {
  continueText,
  type ContinueTextOptions,
  type GeneratedText,
  type GenerateOptions,
  PROMPT_ROWS,
} from "./generate.ts";
import type { TokenGrammar } from "./grammar/grammar_constraint.ts";
import type { LanguageModel } from "./language_model.ts";

/** Positions of a conversation where nobody says how many: a model's own can take all memory. */
export const CHAT_POSITIONS = 4096;

/** How a conversation is led. */
export interface ConversationOptions
  extends Omit<GenerateOptions, "prompt" | "promptCache" | "constraint"> {
  /** How messages become text. */
  readonly template: ChatTemplate;
  /** What every answer has to follow. */
  readonly grammar?: TokenGrammar | undefined;
  /** What the model is told before all else. */
  readonly system?: string | undefined;
}

/** The template that comes with a model. @throws {ConfigError} When none does, or it is no Jinja. */
export async function chatTemplateOf(model: LanguageModel): Promise<ChatTemplate> {
  const source = readChatTemplates(model.checkpoint).get(DEFAULT_TEMPLATE);
  if (source !== undefined) return await ChatTemplate.parse(source);
  throw new ConfigError(
    `Cannot chat with ${quoted(model.checkpoint.path)}: it has no chat template`,
    { hint: "continue plain text without --chat, or put a chat_template.jinja beside the model" },
  );
}

/**
 * The token ids of messages, ready for the answer: as Hugging Face's `apply_chat_template` gives them,
 * so the begin token stands where the template puts it.
 */
export function encodeMessages(
  model: LanguageModel,
  { template, messages }: {
    readonly template: ChatTemplate;
    readonly messages: readonly ChatMessage[];
  },
): Uint32Array {
  const { tokenizer } = model;
  const textOf = (id: number | undefined) => id === undefined ? undefined : tokenizer.piece(id);
  const text = template.render(messages, {
    bosToken: textOf(tokenizer.bosId),
    eosToken: textOf(tokenizer.eosId),
  });
  return model.checkedIds(tokenizer.encode(text, { special: "parse" }));
}

/** A conversation that goes on; one message and its answer at a time. */
export class Conversation {
  readonly #model: LanguageModel;
  readonly #template: ChatTemplate;
  readonly #options: ConversationOptions;
  readonly #session: DecoderSession;
  readonly #context: number;
  #messages: ChatMessage[] = [];
  /** What is cached of the last turn. */
  #cached: { sequence: KvSequence; tokens: readonly number[] } | undefined;

  /** Reserves the memory of a conversation. @throws {BackendError} When there is none left. */
  constructor(model: LanguageModel, options: ConversationOptions) {
    this.#model = model;
    this.#template = options.template;
    this.#options = options;
    const { maxPositionEmbeddings } = model.decoder.config;
    this.#context = options.context ?? Math.min(maxPositionEmbeddings, CHAT_POSITIONS);
    const rows = Math.min(PROMPT_ROWS, this.#context);
    this.#session = model.decoder.session({
      rows,
      positions: this.#context,
      textPositions: this.#context,
      kvType: options.kvType,
    });
    this.reset();
  }

  /** What has been said. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** Forgets what was said; the system message stays. */
  reset(): void {
    const { system } = this.#options;
    this.#messages = system === undefined ? [] : [{ role: "system", content: system }];
  }

  /**
   * Says something and yields the answer as it comes. Where the answer fails or is broken off, the
   * conversation is as it was before.
   *
   * @throws {ConfigError} When the conversation no longer fits the context.
   */
  async *say(
    content: string,
    options: Pick<GenerateOptions, "signal"> = {},
  ): AsyncGenerator<string, GeneratedText, void> {
    const messages: ChatMessage[] = [...this.#messages, { role: "user", content }];
    const prompt = encodeMessages(this.#model, { template: this.#template, messages });
    const prefix = this.#prefixOf(prompt);
    this.#cached = undefined;
    const turn: ContinueTextOptions = {
      ...this.#options,
      ...options,
      prompt,
      constraint: this.#options.grammar?.constraint(prompt),
      prefix,
      session: this.#session,
      context: this.#context,
      keep: (sequence, tokens) => this.#cached = { sequence, tokens },
    };
    const answer = yield* continueText(this.#model, turn);
    this.#messages = [...messages, { role: "assistant", content: answer.text }];
    return answer;
  }

  /** Gives the memory back. */
  close(): void {
    this.#session.close();
  }

  /** The part of what is cached that begins this prompt. */
  #prefixOf(prompt: Uint32Array): KvSequence | undefined {
    if (this.#cached === undefined) return undefined;
    const { sequence, tokens } = this.#cached;
    const most = Math.min(sequence.length, prompt.length - 1);
    let same = 0;
    while (same < most && tokens[same] === prompt[same]) same++;
    this.#session.cache.pages.trim(sequence, same);
    return sequence;
  }
}
