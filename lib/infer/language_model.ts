/**
 * A model that can be talked to: a decoder with its tokenizer.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { ConfigError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { Decoder, type DecoderOptions } from "../model/decoder.ts";
import { openTokenizer } from "../tokenizer/open.ts";
import type { EncodeOptions, Tokenizer } from "../tokenizer/tokenizer.ts";

/** How a model is opened. */
export interface LanguageModelOptions extends DecoderOptions {
  /** Where the model runs; a promise of it lets files be read while it opens. */
  readonly backend: Backend | Promise<Backend>;
  /** A tokenizer besides the model's own: a file or a folder. */
  readonly tokenizer?: string | undefined;
  /** Taken where neither is: a model that helps another one may have none of its own. */
  readonly spareTokenizer?: string | undefined;
}

/** A decoder with its tokenizer. */
export class LanguageModel {
  /** The checkpoint that it was opened from. */
  readonly checkpoint: Checkpoint;
  /** The network, with its weights on the backend. */
  readonly decoder: Decoder;
  /** Text to ids and back. */
  readonly tokenizer: Tokenizer;
  /** Tokens that end a text: those of the config and of the tokenizer. */
  readonly endIds: readonly number[];

  private constructor(checkpoint: Checkpoint, decoder: Decoder, tokenizer: Tokenizer) {
    this.checkpoint = checkpoint;
    this.decoder = decoder;
    this.tokenizer = tokenizer;
    this.endIds = [...new Set([...checkpoint.config.eosTokenIds, ...tokenizer.endIds])];
  }

  /**
   * Opens a model in any format, with the tokenizer that comes with it or the one that is given.
   *
   * @throws {ConfigError} When there is no tokenizer, or the config is wrong.
   * @throws {FormatError} When a file does not hold what its format promises.
   * @throws {BackendError} When the backend has too little memory.
   */
  static async open(path: string, options: LanguageModelOptions): Promise<LanguageModel> {
    const backend = Promise.resolve(options.backend);
    // Where a file is wrong too, that is what is thrown, and nobody awaits the backend.
    backend.catch(() => {});
    const checkpoint = await openCheckpoint(path);
    const tokenizer = await openTokenizer(tokenizerPath(checkpoint, options));
    const decoder = await Decoder.load(await backend, checkpoint, options);
    return new LanguageModel(checkpoint, decoder, tokenizer);
  }

  /**
   * The token ids that a text is continued from: with the begin token where the model's prompts have
   * one, and that token alone for an empty text.
   *
   * @throws {ConfigError} When an id lies outside the model's vocabulary, or nothing can begin an
   * empty text.
   * @throws {FormatError} When bytes are not UTF-8, with their offset.
   */
  encodePrompt(
    text: string | Uint8Array,
    options: Pick<EncodeOptions, "special"> = {},
  ): Uint32Array {
    const { tokenizer, checkpoint: { config, path } } = this;
    const ids = tokenizer.encode(text, { ...options, bos: tokenizer.addBos });
    if (ids.length === 0) {
      const begin = tokenizer.bosId ?? config.bosTokenId;
      if (begin !== undefined) return Uint32Array.of(begin);
      throw new ConfigError(`Cannot begin a text with ${quoted(path)}: it has no begin token`, {
        hint: "give it a prompt",
      });
    }
    return this.checkedIds(ids);
  }

  /** The ids, which the model knows. @throws {ConfigError} When one lies outside its vocabulary. */
  checkedIds(ids: Uint32Array): Uint32Array {
    const { checkpoint: { config, path } } = this;
    const foreign = ids.find((id) => id >= config.vocabSize);
    if (foreign === undefined) return ids;
    throw new ConfigError(
      `Cannot run ${quoted(path)}: its tokenizer gave the id ${foreign}, ` +
        `and its vocabulary has ${config.vocabSize} tokens`,
      { hint: "give the tokenizer that the model was trained with: --tokenizer PATH" },
    );
  }

  /** Gives the memory of the weights back. */
  close(): void {
    this.decoder.close();
  }
}

function tokenizerPath(
  checkpoint: Checkpoint,
  { tokenizer, spareTokenizer }: Pick<LanguageModelOptions, "tokenizer" | "spareTokenizer">,
): string {
  const path = tokenizer ?? checkpoint.tokenizerPath ?? spareTokenizer;
  if (path !== undefined) return path;
  throw new ConfigError(`Cannot use ${quoted(checkpoint.path)}: there is no tokenizer beside it`, {
    hint: "name one with --tokenizer PATH",
  });
}
