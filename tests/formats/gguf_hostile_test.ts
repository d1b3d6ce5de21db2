import assert from "node:assert/strict";
import { readGguf } from "../../lib/formats/gguf.ts";
import { bytesOf, put, refused, u32, u64, withFolder } from "./folder.ts";
import { ggufOf, gstring, info, key } from "./gguf_bytes.ts";

const U8 = 0;
const U32 = 4;
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;
const U64 = 10;

/** A file with these keys and the good tensor. */
const keys = (...metadata: readonly Uint8Array[]): Uint8Array => ggufOf({ metadata });
/** A file with this one tensor info and so many bytes of data. */
const tensor = (said: Parameters<typeof info>[0], dataBytes: number = 32): Uint8Array =>
  ggufOf({ infos: [info(said)], dataBytes });
const array = (of: number, count: number | bigint, ...items: readonly Uint8Array[]): Uint8Array =>
  bytesOf(u32(of), u64(count), ...items);

const CASES: readonly [name: string, bytes: Uint8Array, error: RegExp][] = [
  ["no bytes", new Uint8Array(), /has 0 bytes, and a GGUF file has at least 24/],
  ["another magic", ggufOf({ magic: "GGUX" }), /begins with "GGUX", wanted "GGUF"/],
  ["a magic of controls", ggufOf({ magic: "\x1b[2J" }), /begins with "\\u001b\[2J"/],
  ["the magic of old GGML files", ggufOf({ magic: "tjgg" }), /a GGML file from before GGUF/],
  ["version 0", ggufOf({ version: 0 }), /GGUF version is 0, wanted 2 or 3/],
  ["version 1", ggufOf({ version: 1 }), /GGUF version is 1, wanted 2 or 3/],
  ["version 4", ggufOf({ version: 4 }), /GGUF version is 4, wanted 2 or 3/],
  [
    "the other byte order",
    ggufOf({ version: 0x03000000 }),
    /big-endian GGUF file, and only little-endian/,
  ],
  ["2^63 tensors", ggufOf({ tensors: 2n ** 63n }), /the number of tensors is 9223372036854775808/],
  ["2^64 - 1 tensors", ggufOf({ tensors: -1 }), /the number of tensors is 18446744073709551615/],
  [
    "more tensors than fit",
    ggufOf({ tensors: 5 }),
    /the number of tensors is 5, more than \d+ bytes can describe/,
  ],
  [
    "a tensor more than there is",
    ggufOf({ tensors: 2 }),
    /name of tensor 1 is "", wanted 1 to 63 bytes/,
  ],
  ["2^63 keys", ggufOf({ keys: 2n ** 63n }), /the number of keys is 9223372036854775808/],
  [
    "a million keys",
    ggufOf({ keys: 1_000_000, dataBytes: 20_000_000 }),
    /the number of keys is 1000000/,
  ],
  [
    "a key name of 2^63 bytes",
    keys(bytesOf(gstring("k", 2n ** 63n))),
    /length of the name of key 0 is 9223372036854775808/,
  ],
  [
    "a key name of 2^64 - 1 bytes",
    keys(bytesOf(gstring("k", -1))),
    /length of the name of key 0 is 18446744073709551615/,
  ],
  [
    "an empty key",
    keys(key("", U8, Uint8Array.of(1))),
    /the name of key 0 is "", wanted 1 to 8192 bytes/,
  ],
  [
    "a key twice",
    keys(key("k", U8, Uint8Array.of(1)), key("k", U8, Uint8Array.of(2))),
    /the key "k" stands there twice/,
  ],
  ["a key with a NUL", keys(key("a\0b", U8, Uint8Array.of(1))), /the name of key 0 is "a\\u0000b"/],
  [
    "a key that is not UTF-8",
    keys(key(Uint8Array.of(0xc3, 0x28), U8, Uint8Array.of(1))),
    /the name of key 0 is not UTF-8/,
  ],
  [
    "a key of 65536 bytes",
    keys(key("k".repeat(65536), U8, Uint8Array.of(1))),
    /wanted 1 to 8192 bytes/,
  ],
  ["a value of type 13", keys(key("k", 13, u64(0))), /the key "k" has the unknown type 13/],
  [
    "a value of type 2^32 - 1",
    keys(key("k", -1, u64(0))),
    /the key "k" has the unknown type 4294967295/,
  ],
  [
    "the bool 2",
    keys(key("k", BOOL, Uint8Array.of(2))),
    /the key "k" is the bool 2, wanted 0 or 1/,
  ],
  [
    "the bool 255 in an array",
    keys(key("k", ARRAY, array(BOOL, 2, Uint8Array.of(1, 255)))),
    /has the bool 255/,
  ],
  [
    "a string of 2^63 bytes",
    keys(key("k", STRING, gstring("v", 2n ** 63n))),
    /length of the key "k" is 9223372036854775808/,
  ],
  [
    "a chat template of a gigabyte",
    keys(key("t", STRING, gstring("{{", 1e9))),
    /length of the key "t" is 1000000000/,
  ],
  [
    "a string that is not UTF-8",
    keys(key("k", STRING, gstring(Uint8Array.of(0x80)))),
    /the key "k" is not UTF-8/,
  ],
  [
    "an array of arrays",
    keys(key("k", ARRAY, array(ARRAY, 1, array(U8, 1, Uint8Array.of(1))))),
    /array of arrays/,
  ],
  [
    "an array of type 13",
    keys(key("k", ARRAY, array(13, 1, u64(1)))),
    /elements of the key "k" has the unknown type 13/,
  ],
  [
    "an array of 2^61 numbers",
    keys(key("k", ARRAY, array(U64, 2n ** 61n, u64(1)))),
    /elements of the key "k" is 2305843009213693952/,
  ],
  [
    "an array of 2^64 - 1 bytes",
    keys(key("k", ARRAY, array(U8, -1, u64(1)))),
    /is 18446744073709551615, and only/,
  ],
  [
    "an array of 2^63 strings",
    keys(key("k", ARRAY, array(STRING, 2n ** 63n, gstring("")))),
    /is 9223372036854775808/,
  ],
  [
    "an array of five million strings",
    keys(key("k", ARRAY, array(STRING, 5_000_000, new Uint8Array(40_000_000)))),
    /the key "k" has 5000000 strings, and at most 2097152 are read/,
  ],
  [
    "an alignment of 0",
    keys(key("general.alignment", U32, u32(0))),
    /"general.alignment" is 0, wanted a power of two/,
  ],
  [
    "an alignment of 3",
    keys(key("general.alignment", U32, u32(3))),
    /"general.alignment" is 3, wanted a power of two/,
  ],
  [
    "an alignment of 2^31",
    keys(key("general.alignment", U32, u32(2 ** 31))),
    /"general.alignment" is 2147483648/,
  ],
  [
    "an alignment of 64 bits",
    keys(key("general.alignment", U64, u64(32))),
    /has type u64, wanted u32/,
  ],
  [
    "an alignment that is text",
    keys(key("general.alignment", STRING, gstring("32"))),
    /has type string, wanted u32/,
  ],
  [
    "a tensor without a name",
    tensor({ name: "" }),
    /the name of tensor 0 is "", wanted 1 to 63 bytes/,
  ],
  ["a tensor name of 64 bytes", tensor({ name: "n".repeat(64) }), /wanted 1 to 63 bytes of text/],
  ["a tensor name with a NUL", tensor({ name: "a\0" }), /the name of tensor 0 is "a\\u0000"/],
  [
    "a tensor name that is not UTF-8",
    tensor({ name: Uint8Array.of(0xff) }),
    /the name of tensor 0 is not UTF-8/,
  ],
  [
    "a tensor twice",
    ggufOf({ infos: [info(), info({ offset: 32 })], dataBytes: 64 }),
    /"x" stands there twice/,
  ],
  [
    "a tensor of five axes",
    tensor({ extents: [1, 1, 1, 1, 8] }),
    /"x" has 5 axes, wanted at most 4/,
  ],
  ["a tensor of 2^32 - 1 axes", tensor({ axes: -1 }), /"x" has 4294967295 axes/],
  ["an extent of 0", tensor({ extents: [8, 0] }), /"x" has the extent 0, wanted 1 to/],
  ["an extent of -1", tensor({ extents: [-1] }), /"x" has the extent 18446744073709551615/],
  [
    "an extent of 2^42 + 1",
    tensor({ extents: [2 ** 42 + 1] }),
    /"x" ends at byte \d+, and the file has/,
  ],
  [
    "a product of 2^64",
    tensor({ extents: [2n ** 32n, 2n ** 32n] }),
    /of shape \[4294967296, 4294967296\] has 2\^53 bytes or more/,
  ],
  [
    "a product that wraps to 0",
    tensor({ extents: [2n ** 32n, 2n ** 32n, 4n, 2n ** 31n] }),
    /2\^53 bytes or more/,
  ],
  ["more bytes than 2^53 can say", tensor({ extents: [2n ** 52n] }), /has 2\^53 bytes or more/],
  ["the tensor type -1", tensor({ type: -1 }), /"x" has the unknown type 4294967295/],
  ["the given-up tensor type 4", tensor({ type: 4 }), /"x" has the unknown type 4/],
  ["the given-up tensor type 36", tensor({ type: 36 }), /"x" has the unknown type 36/],
  ["the tensor type 99", tensor({ type: 99 }), /"x" has the unknown type 99/],
  ["the type of activations", tensor({ type: 15, extents: [256] }), /"x" has the unknown type 15/],
  [
    "a row that is no multiple of the block",
    tensor({ type: 8, extents: [33] }),
    /has rows of 33 elements, and q8_0 wants a multiple of 32/,
  ],
  [
    "a row of half a super-block",
    tensor({ type: 12, extents: [128, 2] }),
    /has rows of 128 elements, and q4_k wants a multiple of 256/,
  ],
  ["an offset that is not aligned", tensor({ offset: 4 }), /"x" is at offset 4, wanted 0/],
  ["a gap before the first tensor", tensor({ offset: 32 }, 64), /"x" is at offset 32, wanted 0/],
  [
    "an offset of 2^64 - 32",
    tensor({ offset: -32 }),
    /"x" is at offset 18446744073709551584, wanted 0/,
  ],
  [
    "tensors in one place",
    ggufOf({ infos: [info(), info({ name: "y" })], dataBytes: 64 }),
    /"y" is at offset 0, wanted 32/,
  ],
  [
    "tensors in another order",
    ggufOf({ infos: [info({ offset: 32 }), info({ name: "y" })], dataBytes: 64 }),
    /"x" is at offset 32, wanted 0/,
  ],
  ["data that ends early", tensor({}, 31), /"x" ends at byte \d+, and the file has \d+/],
  [
    "a terabyte that is not there",
    tensor({ extents: [2 ** 38] }),
    /"x" ends at byte 10995116\d+, and the file has/,
  ],
];

for (const [name, bytes, error] of CASES) {
  Deno.test(`a GGUF file with ${name} is refused`, async () => {
    await withFolder(async (folder) => {
      await refused("bad.gguf", error, () => readGguf(put(folder, "bad.gguf", bytes)));
    });
  });
}

Deno.test("the hand-made file of these tests is itself good, and so is its version 2", async () => {
  await withFolder(async (folder) => {
    for (const version of [2, 3]) {
      const file = await readGguf(put(folder, "good.gguf", ggufOf({ version })));
      assert.equal(file.version, version);
      assert.deepEqual(file.records.get("x")?.shape, [8]);
    }
    const empty = await readGguf(put(folder, "empty.gguf", ggufOf({ infos: [], dataBytes: 0 })));
    assert.equal(empty.records.size, 0);
  });
});

Deno.test("a GGUF file cut at any byte is refused", async () => {
  await withFolder(async (folder) => {
    const whole = keys(
      key("general.architecture", STRING, gstring("llama")),
      key("k", ARRAY, array(STRING, 2, gstring("a"), gstring("b"))),
      key("n", ARRAY, array(U32, 2, u32(1), u32(2))),
      key("b", BOOL, Uint8Array.of(1)),
    );
    await readGguf(put(folder, "whole.gguf", whole));
    for (let length = 0; length < whole.length; length++) {
      const path = put(folder, "cut.gguf", whole.subarray(0, length));
      await refused("cut.gguf", /byte/, () => readGguf(path));
    }
  });
});

Deno.test("a GGUF header of more than 100 MB is refused before it is read", async () => {
  await withFolder(async (folder) => {
    const head = bytesOf(
      "GGUF",
      u32(3),
      u64(0),
      u64(1),
      gstring("t"),
      u32(STRING),
      u64(150_000_000),
    );
    const path = put(folder, "long.gguf", head);
    Deno.truncateSync(path, 200_000_000);
    await refused(
      "long.gguf",
      /the length of the key "t" is 150000000, and only \d+ bytes of header/,
      () => readGguf(path),
    );
  });
});
