import { deepStrictEqual, throws } from "node:assert/strict";
import { FormatError } from "../../lib/base/errors.ts";
import { parseProbeBatch } from "../../lib/infer/probe_batch.ts";

const options = { file: "batch.json", vocabSize: 256 };

Deno.test("a batch has ids, and targets, positions and documents where they are given", () => {
  const text = JSON.stringify({
    input_ids: [[1, 2], [3, 4]],
    targets: [[2, -100], [4, 5]],
    position_ids: [[0, 1], [0, 1]],
    document_ids: [[0, 0], [0, 1]],
    note: "left alone",
    attention_mask: [[1, 1], [1, 1]],
    labels: [[1, 2], [3, 4]],
  });
  deepStrictEqual(parseProbeBatch(text, options), {
    inputIds: [[1, 2], [3, 4]],
    targets: [[2, -100], [4, 5]],
    positionIds: [[0, 1], [0, 1]],
    documentIds: [[0, 0], [0, 1]],
  });
});

const BAD: readonly [string, RegExp][] = [
  ["{", /it is no JSON/],
  ["[]", /it is no object/],
  ["{}", /"input_ids" is missing/],
  ['{"input_ids": 3}', /"input_ids" is no list of lists/],
  ['{"input_ids": []}', /"input_ids" is empty/],
  ['{"input_ids": [[]]}', /"input_ids" is empty/],
  ['{"input_ids": [3]}', /"input_ids"\[0\] is no list/],
  ['{"input_ids": [[1, 256]]}', /"input_ids"\[0\]\[1\] is 256, a token id below 256 was wanted/],
  ['{"input_ids": [[1.5]]}', /is 1.5/],
  ['{"input_ids": [["a"]]}', /is "a"/],
  ['{"input_ids": [[-1]]}', /is -1/],
  ['{"input_ids": [[1e300]]}', /is 1e\+300/],
  ['{"input_ids": [[1, 2], [3]]}', /"input_ids"\[1\] has 1 numbers, 2 were wanted/],
  ['{"input_ids": [[1, 2]], "targets": [[1]]}', /"targets"\[0\] has 1 numbers, 2/],
  ['{"input_ids": [[1]], "targets": [[1], [2]]}', /"targets" has 2 rows, 1 were wanted/],
  ['{"input_ids": [[1]], "targets": [[-5]]}', /is -5, a token id below 256, or -100/],
  ['{"input_ids": [[1]], "position_ids": [[-1]]}', /is -1, a whole number >= 0/],
  ['{"input_ids": [[1, 2]], "attention_mask": [[0, 1]]}', /"attention_mask" hides tokens/],
  ['{"input_ids": [[1, 2]], "labels": [[1, 2]]}', /it has "labels" and no "targets"/],
];
for (const [text, message] of BAD) {
  Deno.test(`a batch is refused by field and place: ${text}`, () => {
    throws(() => parseProbeBatch(text, options), (error: Error) => {
      return error instanceof FormatError && message.test(error.message) &&
        error.message.startsWith('Cannot probe "batch.json": ');
    });
  });
}
