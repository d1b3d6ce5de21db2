import { deepStrictEqual, notStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { RandomStream } from "../../lib/base/random.ts";
import { KvPages, type KvSequence } from "../../lib/model/kv_pages.ts";

const pool = (pageCount = 8, pageSize = 4) => new KvPages({ pageCount, pageSize });

Deno.test("a sequence takes a page when a position needs one, in order", () => {
  const pages = pool();
  const sequence = pages.open();
  pages.append(sequence, 3);
  deepStrictEqual(sequence.pages, [0]);
  pages.append(sequence, 1);
  deepStrictEqual(sequence.pages, [0]);
  pages.append(sequence, 5);
  deepStrictEqual(sequence.pages, [0, 1, 2]);
  strictEqual(pages.freePages, 5);
  deepStrictEqual([0, 3, 4, 8].map((at) => pages.slot(sequence, at)), [0, 3, 4, 8]);
});

Deno.test("slots follow the page table, not the order of the pool", () => {
  const pages = pool();
  const [first, second] = [pages.open(), pages.open()];
  pages.append(first, 4);
  pages.append(second, 4);
  pages.append(first, 1);
  deepStrictEqual(first.pages, [0, 2]);
  strictEqual(pages.slot(first, 4), 8);
  strictEqual(pages.slot(second, 1), 5);
});

Deno.test("a fork shares all pages and copies only the one that is written to", () => {
  const pages = pool();
  const parent = pages.open();
  pages.append(parent, 6);
  const child = pages.fork(parent);
  deepStrictEqual(child.pages, parent.pages);
  strictEqual(pages.freePages, 6);
  strictEqual(pages.pagesFor(child, 1), 1);
  deepStrictEqual(pages.append(child, 1), { from: 1, to: 2 });
  deepStrictEqual(child.pages, [0, 2]);
  deepStrictEqual(parent.pages, [0, 1]);
  strictEqual(pages.append(parent, 1), undefined, "the parent's page is its own again");
});

Deno.test("a fork at a page border copies nothing", () => {
  const pages = pool();
  const parent = pages.open();
  pages.append(parent, 8);
  const child = pages.fork(parent);
  strictEqual(pages.append(child, 1), undefined);
  strictEqual(pages.append(parent, 1), undefined);
  notStrictEqual(child.pages[2], parent.pages[2]);
});

Deno.test("trimming gives back whole pages, and rolling back is trimming by a count", () => {
  const pages = pool();
  const sequence = pages.open();
  pages.append(sequence, 10);
  pages.trim(sequence, 5);
  strictEqual(sequence.length, 5);
  strictEqual(pages.freePages, 6);
  pages.rollBack(sequence, 1);
  deepStrictEqual(sequence.pages, [0]);
  throws(() => pages.trim(sequence, 5), /4 positions to 5/);
  throws(() => pages.rollBack(sequence, 5), RangeError);
});

Deno.test("a sequence trimmed into a shared page copies it before writing", () => {
  const pages = pool();
  const parent = pages.open();
  pages.append(parent, 4);
  const child = pages.fork(parent);
  pages.trim(child, 2);
  deepStrictEqual(pages.append(child, 1), { from: 0, to: 1 });
});

Deno.test("a pool that is too small refuses and leaves the sequence as it was", () => {
  const pages = pool(2);
  const sequence = pages.open();
  pages.append(sequence, 5);
  throws(() => pages.append(sequence, 4), /0 pages of 4 positions are free and 1 were wanted/);
  strictEqual(sequence.length, 5);
  pages.append(sequence, 3);
  pages.close(sequence);
  pages.close(sequence);
  strictEqual(pages.freePages, 2);
  throws(() => pages.append(sequence, 1), /closed/);
});

Deno.test("random forks, appends, trims and closes never lose or share a page wrongly", () => {
  const pages = pool(40, 3);
  // A model of the memory: what each slot holds, and what each sequence should read back.
  const memory = new Map<number, number>();
  const sequences: { handle: KvSequence; content: number[] }[] = [];
  const stream = new RandomStream(1, 0);
  let counter = 0;
  const random = (below: number) => Math.floor(stream.uniform(counter++) * below);
  const copy = (from: number, to: number) => {
    for (let i = 0; i < 3; i++) memory.set(to * 3 + i, memory.get(from * 3 + i) ?? -1);
  };
  for (let round = 0; round < 3000; round++) {
    const action = random(5);
    const chosen = sequences[random(Math.max(1, sequences.length))];
    if (chosen === undefined || (action === 0 && sequences.length < 6)) {
      sequences.push({ handle: pages.open(), content: [] });
    } else if (action === 1 && sequences.length < 6) {
      sequences.push({ handle: pages.fork(chosen.handle), content: [...chosen.content] });
    } else if (action === 2) {
      pages.trim(chosen.handle, random(chosen.content.length + 1));
      chosen.content.length = chosen.handle.length;
    } else if (action === 3 && random(4) === 0) {
      pages.close(chosen.handle);
      sequences.splice(sequences.indexOf(chosen), 1);
    } else {
      const count = random(5);
      if (pages.pagesFor(chosen.handle, count) > pages.freePages) continue;
      const copied = pages.append(chosen.handle, count);
      if (copied !== undefined) copy(copied.from, copied.to);
      for (let i = 0; i < count; i++) {
        memory.set(pages.slot(chosen.handle, chosen.content.length), round * 10 + i);
        chosen.content.push(round * 10 + i);
      }
    }
    for (const { handle, content } of sequences) {
      deepStrictEqual(content.map((_, at) => memory.get(pages.slot(handle, at))), content);
    }
  }
  for (const { handle } of sequences) pages.close(handle);
  strictEqual(pages.freePages, 40);
  ok(counter > 3000);
});
