/**
 * The kernels that train tokenizers: a run is opened, fed with text, prepared, stepped until the
 * vocabulary is full, and asked for its pieces. Like those of text they reserve memory of their own.
 *
 * @module
 */

import { inout, input, type Kernel, output, size, u32 } from "./kernel.ts";

/** Kernels that train tokenizers. */
export const TEXT_TRAIN_KERNELS: Readonly<Record<string, Kernel>> = {
  text_train_open: {
    doc: "Begins a training run from its description (kernels/cpu/src/text/train/options.rs). " +
      "out = [handle].",
    source: "google/sentencepiece, trainer_interface.cc",
    params: { out: output("f64", "1"), description: input("u8", "bytes"), bytes: size },
    bytes: "bytes",
    flops: "0",
  },
  text_train_feed: {
    doc:
      "Reads a block of UTF-8 text, cut anywhere. Documents end at `ends`, which ascend; what follows " +
      "the last one goes on in the next block. out = [what, a, lines so far, whether the sample is " +
      "full]; what is 0, or 1: byte a of the block is not UTF-8 (negative: its character began in a " +
      "block before).",
    source: "google/sentencepiece, trainer_interface.cc, LoadSentences",
    params: {
      out: output("f64", "4"),
      handle: inout("u8", "1"),
      text: input("u8", "bytes"),
      ends: input("u32", "documents"),
      bytes: size,
      documents: u32,
    },
    bytes: "bytes",
    flops: "0",
  },
  text_train_prepare: {
    doc:
      "Ends reading, chooses the alphabet and counts the first pairs. out = [lines, lines left out as " +
      "too long, lines left out as they have U+2585, distinct words, alphabet, occurrences of all " +
      "characters, a required character that the text does not have or -1].",
    source: "google/sentencepiece, trainer_interface.cc, LoadSentences",
    params: { out: output("f64", "7"), handle: inout("u8", "1") },
    bytes: "0",
    flops: "0",
  },
  text_train_step: {
    doc:
      "Learns until there are `target` pieces, at most `budget` of them now. out = [pieces learned, " +
      "occurrences of the last one, whether no pair is left, the first piece that the reference " +
      "itself does not determine or -1].",
    source: "google/sentencepiece, bpe_model_trainer.cc; huggingface/tokenizers, trainer.rs",
    params: {
      out: output("f64", "4"),
      handle: inout("u8", "1"),
      target: u32,
      budget: u32,
    },
    bytes: "0",
    flops: "0",
  },
  text_train_pieces: {
    doc:
      "Gives the pieces: those learned in order, then the alphabet by frequency (none of bytes). out = " +
      "[address of their bytes, number of bytes, address of the end of each (u32), their number].",
    source: "DESIGN section 2",
    params: { out: output("f64", "4"), handle: inout("u8", "1") },
    bytes: "0",
    flops: "0",
  },
  text_train_close: {
    doc: "Frees a training run.",
    source: "DESIGN section 2",
    params: { handle: inout("u8", "1") },
    bytes: "0",
    flops: "0",
  },
};
