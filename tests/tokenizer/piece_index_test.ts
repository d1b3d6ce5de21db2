import { strictEqual } from "node:assert/strict";
import { PieceListBuilder } from "../../lib/formats/piece_list.ts";
import { PieceIndex } from "../../lib/tokenizer/piece_index.ts";

Deno.test("a piece is found by its bytes, wherever they stand in the vocabulary", () => {
  const builder = new PieceListBuilder();
  const texts = Array.from({ length: 3000 }, (_, i) => i.toString(36));
  for (const text of texts) builder.addText(text);
  const pieces = builder.finish();
  const index = new PieceIndex(pieces);
  for (let id = 0; id < texts.length; id++) {
    const [start, end] = [pieces.offsets[id]!, pieces.offsets[id + 1]!];
    strictEqual(index.find(start, end), id);
    strictEqual(index.find(start, start + 1), texts.indexOf(texts[id]![0]!));
  }
  // The first eight digits one after another are no piece.
  strictEqual(index.find(0, 8), -1);
});

Deno.test("of equal pieces the last is found", () => {
  const builder = new PieceListBuilder();
  for (const text of ["a", "b", "a"]) builder.addText(text);
  strictEqual(new PieceIndex(builder.finish()).find(0, 1), 2);
});
