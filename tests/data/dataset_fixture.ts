/** Writes small indexed datasets for tests, byte by byte as Megatron's own writer does. */

/** Documents of token ids. */
export type Documents = readonly (readonly number[])[];

/** Writes `PREFIX.idx` and `PREFIX.bin` with uint16 tokens, one sequence for each document. */
export function writeDataset(prefix: string, documents: Documents): string {
  const tokens = Uint16Array.from(documents.flat());
  const count = documents.length;
  const index = new DataView(new ArrayBuffer(34 + 12 * count + 8 * (count + 1)));
  new TextEncoder().encodeInto("MMIDIDX", new Uint8Array(index.buffer));
  index.setBigUint64(9, 1n, true);
  index.setUint8(17, 8);
  index.setBigUint64(18, BigInt(count), true);
  index.setBigUint64(26, BigInt(count + 1), true);
  let begin = 0;
  documents.forEach((document, i) => {
    index.setInt32(34 + 4 * i, document.length, true);
    index.setBigInt64(34 + 4 * count + 8 * i, BigInt(2 * begin), true);
    index.setBigInt64(34 + 12 * count + 8 * (i + 1), BigInt(i + 1), true);
    begin += document.length;
  });
  Deno.writeFileSync(`${prefix}.idx`, new Uint8Array(index.buffer));
  Deno.writeFileSync(`${prefix}.bin`, new Uint8Array(tokens.buffer));
  return prefix;
}

/** A document of ascending ids. */
export function counting(length: number, from = 0): number[] {
  return Array.from({ length }, (_, i) => from + i);
}
