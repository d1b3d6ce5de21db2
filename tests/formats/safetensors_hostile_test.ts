import { join } from "node:path";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { readSafetensorsIndex } from "../../lib/formats/safetensors_index.ts";
import { writeSafetensors } from "../../lib/formats/safetensors_write.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { bytesOf, f32, put, refused, u64, withFolder } from "./folder.ts";

/** A file of a header and `dataBytes` zero bytes; the stated length of the header can be wrong. */
function file(
  header: string | Uint8Array,
  dataBytes: number,
  stated?: number | bigint,
): Uint8Array {
  const bytes = bytesOf(header);
  return bytesOf(u64(stated ?? bytes.length), bytes, new Uint8Array(dataBytes));
}

/** A header of one tensor `x`, float32 of one element, with some fields replaced. */
function one(fields: Record<string, string> = {}): string {
  const all = { dtype: '"F32"', shape: "[1]", data_offsets: "[0,4]", ...fields };
  const text = Object.entries(all).filter(([, value]) => value !== "").map(([k, v]) =>
    `"${k}":${v}`
  );
  return `{"x":{${text.join(",")}}}`;
}

const pair = (a: string, b: string): string =>
  `{"a":{"dtype":"F32","shape":[1],"data_offsets":${a}},"b":{"dtype":"F32","shape":[1],"data_offsets":${b}}}`;

/** A tensor of no bytes. */
const EMPTY = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}';

const CASES: readonly [name: string, bytes: Uint8Array, error: RegExp][] = [
  ["an empty file", new Uint8Array(), /has 0 bytes, and a safetensors file has at least 8/],
  ["a file of seven bytes", new Uint8Array(7), /has 7 bytes/],
  [
    "a header longer than the file",
    file(one(), 4, 10_000),
    /said to have 10000 bytes, and \d+ bytes follow/,
  ],
  ["a header of 2^63 bytes", file(one(), 4, 2n ** 63n), /said to have 9223372036854775808 bytes/],
  [
    "a header of 2^64 - 1 bytes",
    file(one(), 4, 2n ** 64n - 1n),
    /said to have 18446744073709551615 bytes/,
  ],
  ["a header of no bytes", file("", 4), /does not begin with '\{'/],
  ["a header that is an array", file("[]", 4), /does not begin with '\{'/],
  ["a GGUF file", bytesOf("GGUF", new Uint8Array(60)), /said to have 1179993927 bytes/],
  [
    "a header that ends early",
    file(one().slice(0, -1), 4),
    /has the end where ',' or '}' was wanted/,
  ],
  ["text behind the header's object", file(`${one()}x`, 4), /has 'x' where the end was wanted/],
  ["zero bytes as padding", file(`${one()}\0\0`, 4), /has byte 0x00 where the end was wanted/],
  [
    "a tensor name twice",
    file(`${pair("[0,4]", "[4,8]").replace('"b"', '"a"')}`, 8),
    /the key "a" twice/,
  ],
  ["a field twice", file(one({ shape: '[1],"shape":[1]' }), 4), /the key "shape" twice/],
  ["an unknown field", file(one({ stride: "[1]" }), 4), /"x" has the unknown field "stride"/],
  ["no dtype", file(one({ dtype: "" }), 4), /"x" has no "dtype"/],
  ["no shape", file(one({ shape: "" }), 4), /"x" has no "shape"/],
  ["no offsets", file(one({ data_offsets: "" }), 4), /"x" has no "data_offsets"/],
  ["an unknown dtype", file(one({ dtype: '"F33"' }), 4), /"x" has the unknown dtype "F33"/],
  ["a dtype in lower case", file(one({ dtype: '"f32"' }), 4), /"x" has the unknown dtype "f32"/],
  [
    "a block type as dtype",
    file(one({ dtype: '"Q8_0"', shape: "[32]" }), 34),
    /unknown dtype "Q8_0"/,
  ],
  ["a dtype named __proto__", file(one({ dtype: '"__proto__"' }), 4), /unknown dtype "__proto__"/],
  ["a dtype that is a number", file(one({ dtype: "4" }), 4), /has '4' where a string was wanted/],
  [
    "a negative extent",
    file(one({ shape: "[-1]" }), 4),
    /an extent of tensor "x" is -1, wanted an integer/,
  ],
  ["a fractional extent", file(one({ shape: "[1.5]" }), 4), /an extent of tensor "x" is 1.5/],
  ["an extent of 1e300", file(one({ shape: "[1e300]" }), 4), /an extent of tensor "x" is 1e300/],
  [
    "an extent of 2^53",
    file(one({ shape: "[9007199254740992]" }), 4),
    /is 9007199254740992, wanted/,
  ],
  ["an extent of 400 digits", file(one({ shape: `[${"9".repeat(400)}]` }), 4), /is 9{40}…, wanted/],
  [
    "an extent that is a string",
    file(one({ shape: '["1"]' }), 4),
    /has '"' where an extent of tensor "x"/,
  ],
  ["a nested shape", file(one({ shape: "[[1]]" }), 4), /has '\[' where an extent of tensor "x"/],
  ["a shape that is an object", file(one({ shape: "{}" }), 4), /has '\{' where '\[' was wanted/],
  [
    "a shape of 65 axes",
    file(one({ shape: `[${Array(65).fill(1)}]` }), 4),
    /one too many, wanted at most 64/,
  ],
  [
    "a shape whose product passes 2^53",
    file(one({ shape: "[4294967296,4294967296]" }), 4),
    /spans 4 bytes, and its shape \[4294967296, 4294967296\] of f32 needs 2\^53 or more/,
  ],
  [
    "a shape whose product wraps to the span",
    file(one({ shape: "[4294967296,4294967296,4294967296,4294967296]", data_offsets: "[0,0]" }), 0),
    /spans 0 bytes, and its shape .* needs 2\^53 or more/,
  ],
  [
    "a span shorter than the shape",
    file(one({ shape: "[2]" }), 4),
    /spans 4 bytes, and its shape \[2\] of f32 needs 8/,
  ],
  [
    "a span longer than the shape",
    file(one({ data_offsets: "[0,8]" }), 8),
    /spans 8 bytes, .* needs 4/,
  ],
  [
    "a begin after the end",
    file(one({ data_offsets: "[4,0]" }), 4),
    /offsets \[4, 0\], wanted a begin and an end/,
  ],
  [
    "one offset",
    file(one({ data_offsets: "[0]" }), 4),
    /has the offsets \[0\], wanted a begin and an end/,
  ],
  ["three offsets", file(one({ data_offsets: "[0,4,8]" }), 4), /one too many, wanted at most 2/],
  ["a negative offset", file(one({ data_offsets: "[-4,0]" }), 4), /an offset of tensor "x" is -4/],
  [
    "a span beyond the file",
    file(one(), 3),
    /"x" ends at byte 4 of the data, and the file has 3 bytes of data/,
  ],
  [
    "a terabyte that is not there",
    file(one({ shape: "[274877906944]", data_offsets: "[0,1099511627776]" }), 4),
    /"x" ends at byte 1099511627776 of the data, and the file has 4/,
  ],
  [
    "two tensors in one place",
    file(pair("[0,4]", "[0,4]"), 4),
    /"b" at byte 0 of the data overlaps tensor "a"/,
  ],
  [
    "tensors that overlap by half",
    file(pair("[0,4]", "[2,6]"), 6),
    /"b" at byte 2 of the data overlaps/,
  ],
  [
    "a hole between tensors",
    file(pair("[0,4]", "[8,12]"), 12),
    /"b" .* leaves 4 unused bytes after tensor "a"/,
  ],
  [
    "a hole before the first tensor",
    file(one({ data_offsets: "[4,8]" }), 8),
    /leaves 4 unused bytes after the header/,
  ],
  ["bytes behind the last tensor", file(one(), 5), /1 bytes follow the last tensor, wanted none/],
  ["data without tensors", file("{}", 9), /9 bytes follow the last tensor/],
  ["metadata that is no object", file('{"__metadata__":[]}', 0), /has '\[' where '\{' was wanted/],
  [
    "metadata with a number",
    file('{"__metadata__":{"a":1}}', 0),
    /has '1' where a string was wanted/,
  ],
  ["a metadata key twice", file('{"__metadata__":{"a":"1","a":"2"}}', 0), /the key "a" twice/],
  [
    "metadata twice",
    file('{"__metadata__":{},"__metadata__":{}}', 0),
    /the key "__metadata__" twice/,
  ],
  ["a tensor that is a string", file('{"x":"F32"}', 4), /has '"' where '\{' was wanted/],
  ["deep nesting", file(`{"x":${"[".repeat(1e6)}`, 0), /has '\[' where '\{' was wanted/],
  [
    "a million metadata keys",
    file(`{"__metadata__":{${Array.from({ length: 1 << 20 }, (_, i) => `"${i}":""`)}}}`, 0),
    /its metadata has more than 65536 entries/,
  ],
  [
    "a name of a megabyte",
    file(`{"${"n".repeat(1 << 20)}":{}}`, 0),
    /a string of more than 8192 bytes/,
  ],
  [
    "more tensors than any model has",
    file(`{${Array.from({ length: (1 << 16) + 1 }, (_, i) => `"t${i}":${EMPTY}`)}}`, 0),
    /it has more than 65536 tensors/,
  ],
  ["invalid UTF-8 in a name", file(bytesOf('{"', [0xff], '":{}}'), 0), /invalid UTF-8 in a string/],
  ["a line break in a name", file('{"a\nb":{}}', 0), /control character in a string/],
];

for (const [name, bytes, error] of CASES) {
  Deno.test(`a safetensors file with ${name} is refused`, async () => {
    await withFolder(async (folder) => {
      await refused(
        "bad.safetensors",
        error,
        () => readSafetensors(put(folder, "bad.safetensors", bytes)),
      );
    });
  });
}

Deno.test("a safetensors file cut at any byte is refused", async () => {
  await withFolder(async (folder) => {
    const whole = file(one(), 4);
    for (let length = 0; length < whole.length; length++) {
      const path = put(folder, "cut.safetensors", whole.subarray(0, length));
      await refused("cut.safetensors", /bytes/, () => readSafetensors(path));
    }
  });
});

Deno.test("a header of more than 32 MiB is refused before it is read", async () => {
  await withFolder(async (folder) => {
    // A sparse file: its bytes cost neither disk nor time.
    const path = put(folder, "long.safetensors", bytesOf(u64(100_000_001), "{"));
    Deno.truncateSync(path, 200_000_000);
    await refused(
      "long.safetensors",
      /its header has 100000001 bytes, and at most 33554432/,
      () => readSafetensors(path),
    );
  });
});

Deno.test("a safetensors file cut after its header was read is refused when a tensor is read", async () => {
  await withFolder(async (folder) => {
    const path = put(folder, "cut.safetensors", file(one(), 4));
    const record = (await readSafetensors(path)).records.get("x")!;
    Deno.truncateSync(path, 65);
    await refused(
      "cut.safetensors",
      /tensor "x" ends at byte \d+, and the file has 65 now/,
      () => readTensor(record),
    );
  });
});

/** Puts two one-tensor shards, `a` in a.safetensors and `b` in b.safetensors, and an index beside them. */
async function withIndex(
  index: string | Uint8Array,
  error: RegExp,
  named: string = "bad.json",
): Promise<void> {
  await withFolder(async (folder) => {
    for (const name of ["a", "b"]) {
      const path = join(folder, `${name}.safetensors`);
      await writeSafetensors(path, [{ name, dtype: "f32", shape: [1], data: f32(1) }]);
    }
    const path = put(folder, "bad.json", bytesOf(index));
    await refused(named, error, () => readSafetensorsIndex(path));
  });
}

const map = (entries: Record<string, unknown>): string => JSON.stringify({ weight_map: entries });

const INDEXES: readonly [name: string, index: string | Uint8Array, error: RegExp][] = [
  ["nothing", "", /has the end where '\{' was wanted/],
  ["no weight map", '{"metadata":{}}', /the index has no "weight_map"/],
  ["a weight map that is an array", '{"weight_map":[]}', /has '\[' where '\{' was wanted/],
  ["an array at the top", "[]", /has '\[' where '\{' was wanted/],
  ["an empty weight map", map({}), /the "weight_map" of the index is empty/],
  [
    "a path upwards",
    map({ a: "../a.safetensors" }),
    /puts tensor "a" into "..\/a.safetensors", wanted the name/,
  ],
  [
    "an absolute path",
    map({ a: "/etc/passwd" }),
    /into "\/etc\/passwd", wanted the name of a file beside it/,
  ],
  [
    "a path with a backslash",
    map({ a: "..\\a.safetensors" }),
    /wanted the name of a file beside it/,
  ],
  ["a drive", map({ a: "C:a.safetensors" }), /wanted the name of a file beside it/],
  ["a name of two dots", map({ a: ".." }), /wanted the name of a file beside it/],
  ["an empty name", map({ a: "" }), /wanted the name of a file beside it/],
  ["a NUL in a name", map({ a: "a\0" }), /wanted the name of a file beside it/],
  ["a number as name", map({ a: 1 }), /has '1' where a string was wanted/],
  [
    "a missing shard",
    map({ a: "c.safetensors" }),
    /the shard "c.safetensors" that it names is missing/,
  ],
  [
    "a tensor in the wrong shard",
    map({ a: "b.safetensors" }),
    /"b.safetensors" holds tensor "b", and the index does not name it/,
  ],
  [
    "a tensor that its shard lacks",
    map({ a: "a.safetensors", c: "a.safetensors" }),
    /puts tensor "c" into "a.safetensors", which lacks it/,
  ],
  [
    "swapped shards",
    map({ a: "b.safetensors", b: "a.safetensors" }),
    /"b.safetensors" holds tensor "b", and the index puts it into "a.safetensors"/,
  ],
  [
    "a tensor twice",
    '{"weight_map":{"a":"a.safetensors","a":"b.safetensors"}}',
    /the key "a" twice/,
  ],
  ["deep nesting", `{"metadata":${"[".repeat(100_000)}`, /nested deeper than 64 levels/],
];

for (const [name, index, error] of INDEXES) {
  Deno.test(`an index with ${name} is refused`, () => withIndex(index, error));
}

Deno.test("a tensor that stands in two shards is refused", async () => {
  await withFolder(async (folder) => {
    const tensor = (name: string) => ({ name, dtype: "f32", shape: [1], data: f32(1) });
    await writeSafetensors(join(folder, "a.safetensors"), [tensor("a"), tensor("b")]);
    await writeSafetensors(join(folder, "b.safetensors"), [tensor("b")]);
    const path = put(folder, "two.json", bytesOf(map({ a: "a.safetensors", b: "b.safetensors" })));
    await refused(
      "two.json",
      /"a.safetensors" holds tensor "b", and the index puts it into "b.safetensors"/,
      () => readSafetensorsIndex(path),
    );
  });
});

Deno.test("a bad shard is refused under its own name", () =>
  withFolder(async (folder) => {
    put(folder, "a.safetensors", file(one(), 3));
    const path = put(folder, "i.json", bytesOf(map({ x: "a.safetensors" })));
    await refused("a.safetensors", /ends at byte 4 of the data/, () => readSafetensorsIndex(path));
  }));
