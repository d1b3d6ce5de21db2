import assert from "node:assert/strict";
import { renameSync, truncateSync } from "node:fs";
import { join } from "node:path";
import {
  IndexedDataset,
  type TokenTypeCode,
  tokenTypeFor,
} from "../../lib/formats/indexed_dataset.ts";
import { IndexedDatasetWriter } from "../../lib/formats/indexed_dataset_write.ts";
import { temporaryFolder } from "./folder.ts";

/** Names the files of a finished writer and opens them. */
function opened(writer: IndexedDatasetWriter, prefix: string): IndexedDataset {
  const { tokens, index } = writer.finish();
  renameSync(tokens, `${prefix}.bin`);
  renameSync(index, `${prefix}.idx`);
  return IndexedDataset.open(prefix);
}

function sequences(dataset: IndexedDataset): number[][] {
  return Array.from(dataset.lengths, (length, i) => {
    const target = new Int32Array(length);
    dataset.read(i, { offset: 0, target });
    return [...target];
  });
}

Deno.test("vocabularies below 65,500 take two bytes, as Megatron's do", () => {
  assert.deepEqual([32000, 65499, 65500, 128256].map(tokenTypeFor), [8, 8, 4, 4]);
});

Deno.test("documents come back, whole, in parts and empty, in both types", () => {
  for (const type of [8, 4] as TokenTypeCode[]) {
    using folder = temporaryFolder();
    const writer = new IndexedDatasetWriter(folder.path, { type, name: "x" });
    writer.append(Uint32Array.of(1, 2));
    writer.append(Uint32Array.of(65535));
    writer.endDocument();
    writer.endDocument();
    writer.append(Uint32Array.of(7));
    // The first of these ends the document that is open.
    writer.appendDocuments(Uint32Array.of(8, 9, 10), Uint32Array.of(1, 0, 2));
    assert.deepEqual(writer.place, { tokens: 7, sequences: 3, documents: 5, open: 0 });
    using dataset = opened(writer, join(folder.path, "out"));
    assert.deepEqual(sequences(dataset), [[1, 2, 65535], [7, 8], [9, 10]]);
    assert.deepEqual([...dataset.documents], [0n, 1n, 1n, 2n, 2n, 3n]);
    assert.equal(dataset.tokenType, type === 8 ? "uint16" : "int32");
  }
});

Deno.test("a dataset without documents is one", () => {
  using folder = temporaryFolder();
  const writer = new IndexedDatasetWriter(folder.path, { type: 8, name: "x" });
  using dataset = opened(writer, join(folder.path, "out"));
  assert.equal(dataset.documentCount, 0);
  assert.equal(dataset.tokens, 0);
});

Deno.test("a document longer than an index can say becomes several sequences", () => {
  using folder = temporaryFolder();
  const writer = new IndexedDatasetWriter(folder.path, { type: 8, name: "x", longest: 3 });
  writer.append(Uint32Array.of(1, 2));
  writer.append(Uint32Array.of(3, 4, 5, 6, 7, 8, 9));
  writer.endDocument();
  writer.appendDocuments(Uint32Array.of(1, 2, 3, 4, 5), Uint32Array.of(1, 4));
  using dataset = opened(writer, join(folder.path, "out"));
  assert.deepEqual(sequences(dataset), [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1], [2, 3, 4], [5]]);
  assert.deepEqual([...dataset.documents], [0n, 3n, 4n, 6n]);
});

Deno.test("what was written behind a place that was kept is written again", () => {
  using folder = temporaryFolder();
  const options = { type: 8, name: "x" } as const;
  const first = new IndexedDatasetWriter(folder.path, options);
  first.appendDocuments(Uint32Array.of(1, 2, 3), Uint32Array.of(1, 2));
  first.append(Uint32Array.of(4));
  const from = first.sync();
  first.append(Uint32Array.of(99, 98));
  first.endDocument();
  first.sync();
  first.close();
  const second = new IndexedDatasetWriter(folder.path, { ...options, from });
  second.append(Uint32Array.of(5));
  second.endDocument();
  using dataset = opened(second, join(folder.path, "out"));
  assert.deepEqual(sequences(dataset), [[1], [2, 3], [4, 5]]);
  const third = new IndexedDatasetWriter(folder.path, options);
  third.append(Uint32Array.of(1));
  const place = third.sync();
  third.close();
  truncateSync(join(folder.path, "tokens"), 1);
  assert.throws(
    () => new IndexedDatasetWriter(folder.path, { ...options, from: place }),
    /Cannot write "x": .*is shorter than it was/,
  );
});

Deno.test("a dataset that is missing says what to give instead", () => {
  using folder = temporaryFolder();
  const prefix = join(folder.path, "shakespeare");
  opened(new IndexedDatasetWriter(folder.path, { type: 8, name: "x" }), prefix).close();
  assert.throws(
    () => IndexedDataset.open(`${prefix}.bin`),
    (error: Error & { hint?: string }) =>
      error.message.includes("shakespeare.bin.idx") &&
      error.hint === `give what both files begin with: "${prefix}"`,
  );
  assert.throws(
    () => IndexedDataset.open(join(folder.path, "other")),
    (error: Error & { hint?: string }) => error.hint!.includes("tokenize pack"),
  );
});
