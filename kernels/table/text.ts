/**
 * The kernels of text: tokenizers compiled into the library's own memory and called with many texts
 * at a time. Unlike others these may reserve memory; their results stay theirs until the next call.
 *
 * @module
 */

import { inout, input, type Kernel, output, size, u32 } from "./kernel.ts";

/** Kernels that encode text. */
export const TEXT_KERNELS: Readonly<Record<string, Kernel>> = {
  text_open: {
    doc:
      "Compiles a tokenizer from its description (kernels/cpu/src/text/blob.rs). out = [handle, what, " +
      "a, b]; what is 0, or the handle is 0 and it says why: 1 the ids a and b have the same text, 2 " +
      "no piece is the byte a, 3 merge a names a piece that is not there (b 0 left, 1 right, 2 result).",
    source: "google/sentencepiece, bpe_model.cc; openai/tiktoken, lib.rs",
    params: { out: output("f64", "4"), blob: input("u8", "bytes"), bytes: size },
    bytes: "bytes",
    flops: "0",
  },
  text_encode: {
    doc:
      "Encodes texts that stand one after another and end at `ends`. special 0: names of special " +
      "tokens are text, 1: they are tokens, 2: they are refused; replace: malformed bytes become U+FFFD, " +
      "one for each. out = [address of the ids (u32), their number, address of the number of ids of each " +
      "text (u32), what, a, b]; what is 0, or 1: byte a is not UTF-8, or 2: special token b at byte a.",
    source: "google/sentencepiece, bpe_model.cc; openai/tiktoken, lib.rs",
    params: {
      out: output("f64", "6"),
      handle: inout("u8", "1"),
      text: input("u8", "bytes"),
      ends: input("u32", "texts"),
      bytes: size,
      texts: u32,
      special: u32,
      replace: u32,
    },
    bytes: "bytes",
    flops: "0",
  },
  text_begin: {
    doc:
      "Lets other threads encode the beginning of a text while the rest still comes. `bytes` of it are " +
      "there, well-formed UTF-8; in the end it has at most `most`, which need not be there yet. It may be " +
      "called again with more bytes; then text_encode takes the whole, as its only text and with the same " +
      "special (0 or 1), before anything else is done with the tokenizer. bytes = 0 gives it up.",
    source: "DESIGN section 2",
    params: {
      handle: inout("u8", "1"),
      text: input("u8", "bytes"),
      bytes: size,
      most: size,
      special: u32,
    },
    bytes: "bytes",
    flops: "0",
  },
  text_lines: {
    doc:
      "Encodes each line of a text for itself and writes the ids in decimal, with spaces between them " +
      "and a line end behind each line's; a line end at the very end begins no line. first and last: ids " +
      "before and behind those of each line, 0xffffffff for none. out = [address of the bytes written, " +
      "their number, number of lines, what, a, b]; the rest as in text_encode.",
    source: "google/sentencepiece, bpe_model.cc; openai/tiktoken, lib.rs",
    params: {
      out: output("f64", "6"),
      handle: inout("u8", "1"),
      text: input("u8", "bytes"),
      bytes: size,
      special: u32,
      replace: u32,
      first: u32,
      last: u32,
    },
    bytes: "bytes",
    flops: "0",
  },
  text_stream: {
    doc:
      "Encodes the next part of one text, up to where what follows could change it (all of it, if " +
      "`last`). place says what came before: 1 some text, 2 some text since the last special token, 4 a " +
      "space that swallows further ones; 0 at first, then what the last call gave. out = [address of " +
      "the ids (u32), their number, bytes encoded, what, a, b, next place]; what, a and b as in " +
      "text_encode.",
    source: "google/sentencepiece, bpe_model.cc; openai/tiktoken, lib.rs",
    params: {
      out: output("f64", "7"),
      handle: inout("u8", "1"),
      text: input("u8", "bytes"),
      bytes: size,
      special: u32,
      replace: u32,
      place: u32,
      last: u32,
    },
    bytes: "bytes",
    flops: "0",
  },
  text_close: {
    doc: "Frees a tokenizer.",
    source: "DESIGN section 2",
    params: { handle: inout("u8", "1") },
    bytes: "0",
    flops: "0",
  },
};
