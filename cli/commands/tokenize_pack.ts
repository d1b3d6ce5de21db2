/**
 * `llamero tokenize pack`: turns a corpus into the dataset of tokens that training reads.
 *
 * @module
 */

import { formatBytes, formatInteger } from "../../lib/base/format.ts";
import { type Packed, packTexts } from "../../lib/data/pack.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { namedTexts } from "../text_inputs.ts";
import { Log } from "../ui/log.ts";
import type { TokenizePackArguments, TokenizePackOptions } from "./tokenize_pack.spec.ts";

/** What the command line gives. */
export type Values = TokenizePackOptions & TokenizePackArguments;

/** Runs `llamero tokenize pack`. */
export async function run(values: Values, io: Io): Promise<void> {
  const log = new Log(io, values);
  const signal = io.interruption();
  const { inputs, total } = namedTexts(values.inputs, io);
  const backend = await openBackendFor({ ...values, processor: true }, log);
  const size = total === undefined ? {} : { total };
  const ticker = log.progress({ label: "packing", ...size, format: formatBytes });
  let packed: Packed;
  try {
    const tokenizer = await openTokenizer(values.tokenizer, { backend });
    const { field, bos, eos, special, invalid, force } = values;
    packed = await packTexts(inputs, {
      tokenizer,
      prefix: values.out,
      documents: values.inputFormat === "jsonl" ? "jsonl" : values.document,
      field,
      bos,
      eos,
      special,
      invalid,
      force,
      signal,
      progress: (stored) => ticker.update(stored),
    });
  } finally {
    ticker.finish();
    backend.close();
  }
  report(packed, values, io);
}

function report({ manifest, resumed }: Packed, values: Values, io: Io): void {
  if (values.json) return writeJson(io.stdout, { path: values.out, resumed, ...manifest });
  const { tokens, documents, bytes_per_token: ratio, dtype } = manifest;
  const many = (count: number, what: string): string =>
    `${formatInteger(count)} ${what}${count === 1 ? "" : "s"}`;
  const density = ratio === null ? "" : `, ${ratio.toFixed(2)} bytes each`;
  io.stdout.write(
    `${values.out}: ${many(tokens, "token")} of ${
      many(documents, "document")
    }${density}, ${dtype}\n`,
  );
}
