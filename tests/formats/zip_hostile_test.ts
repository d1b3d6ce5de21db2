import { readPytorch } from "../../lib/formats/pytorch.ts";
import { bytesOf, put, refused, u64, withFolder } from "./folder.ts";
import { checkpointOf, type End, type Entry, op, tensorOf, u16, zipOf } from "./pytorch_bytes.ts";

const good = op.program(op.dict(op.text("x"), tensorOf()));
/** An archive whose storage entry has wrong fields. */
const entry = (said: Partial<Entry>): Uint8Array =>
  zipOf([
    { name: "archive/data.pkl", data: good },
    { name: "archive/data/0", data: new Uint8Array(16), ...said },
  ]);
/** An archive whose records at the end are wrong. */
const end = (said: End): Uint8Array => checkpointOf(good, 1, said);

const CASES: readonly [name: string, bytes: Uint8Array, error: RegExp][] = [
  ["nothing but its start", bytesOf("PK\x03\x04"), /does not end as a ZIP archive/],
  ["its second half missing", end({}).subarray(0, 200), /does not end as a ZIP archive/],
  ["bytes behind its end", bytesOf(end({}), "x"), /does not end as a ZIP archive/],
  [
    "a compressed entry",
    entry({ method: 8 }),
    /"archive\/data\/0" is compressed by method 8, and only stored/,
  ],
  [
    "an entry compressed in its header alone",
    entry({ localMethod: 8 }),
    /compressed in its header/,
  ],
  ["an encrypted entry", entry({ flags: 1 }), /"archive\/data\/0" is encrypted/],
  [
    "a zip bomb",
    entry({ bytes: 2 ** 31, stored: 16, localBytes: 16 }),
    /has 16 bytes stored and 2147483648 stated/,
  ],
  [
    "an entry larger than the file",
    entry({ bytes: 2 ** 31 }),
    /has 2147483648 bytes at \d+, and the file has/,
  ],
  [
    "an entry that covers the directory",
    entry({ bytes: 40 }),
    /of 40 bytes overlaps the directory/,
  ],
  [
    "an entry with another size in its header",
    entry({ localBytes: 15 }),
    /has 16 bytes in the directory and 15 in its header/,
  ],
  [
    "an entry with another name in its header",
    entry({ localName: "archive/data/1" }),
    /has another name in its header/,
  ],
  [
    "an entry that is not where it should be",
    entry({ offset: 1 }),
    /has no header where the directory says/,
  ],
  ["an entry beyond the file", entry({ offset: 2 ** 31 }), /is said to be at 2147483648/],
  [
    "two entries in one place",
    entry({ offset: 0, localName: "archive/data.pkl" }),
    /has another name in its header|overlaps/,
  ],
  [
    "entries that overlap",
    zipOf([{ name: "archive/data.pkl", data: good, bytes: good.length + 8 }, {
      name: "b",
      data: new Uint8Array(9),
    }]),
    /its entry "b" overlaps entry "archive\/data.pkl"/,
  ],
  ["an entry twice", entry({ name: "archive/data.pkl" }), /"archive\/data.pkl" stands there twice/],
  [
    "a name that climbs",
    entry({ name: "archive/../../x" }),
    /the name "archive\/..\/..\/x", wanted a path inside/,
  ],
  ["an absolute name", entry({ name: "/x" }), /the name "\/x", wanted a path inside/],
  ["a name with a backslash", entry({ name: "a\\x" }), /wanted a path inside/],
  ["a name with a NUL", entry({ name: "a\0" }), /wanted a path inside/],
  ["an empty name", entry({ name: "" }), /the name "", wanted a path inside/],
  [
    "a directory elsewhere",
    end({ offset: 0 }),
    /its directory of \d+ bytes at 0 does not end where/,
  ],
  ["a directory of another length", end({ bytes: 10 }), /its directory of 10 bytes/],
  [
    "more entries than it has",
    end({ entries: 4 }),
    /has no entry where one was wanted|has 4 entries in/,
  ],
  ["fewer entries than it has", end({ entries: 2 }), /another length than its 2 entries/],
  ["several volumes", end({ disks: 1 }), /one volume of several/],
  ["a zip64 record that is missing", end({ offset: 0xffffffff }), /its zip64 record is missing/],
  [
    "a zip64 record elsewhere",
    end({ offset: 0xffffffff, zip64: { at: 0 } }),
    /zip64 record does not stand at byte 0/,
  ],
  [
    "a zip64 record beyond the file",
    end({ offset: 0xffffffff, zip64: { at: 2 ** 40 } }),
    /is said to stand at byte/,
  ],
  [
    "2^63 entries by zip64",
    end({ offset: 0xffffffff, zip64: { entries: 2n ** 63n } }),
    /has 9223372036854776000 entries in/,
  ],
  [
    "a zip64 directory at 2^63",
    end({ offset: 0xffffffff, zip64: { offset: 2n ** 63n } }),
    /does not end where/,
  ],
  [
    "a 64-bit size that is missing",
    entry({ bytes: 0xffffffff }),
    /lacks the 64-bit number that it announces/,
  ],
  [
    "a 64-bit size of 2^63",
    entry({ bytes: 0xffffffff, extra: bytesOf(u16(1), u16(16), u64(2n ** 63n), u64(2n ** 63n)) }),
    /has the number 9223372036854775808/,
  ],
  [
    "an extra field that is cut",
    entry({ extra: bytesOf(u16(1), u16(99)) }),
    /an extra field that is cut short/,
  ],
];

for (const [name, bytes, error] of CASES) {
  Deno.test(`a ZIP archive with ${name} is refused`, async () => {
    await withFolder(async (folder) => {
      await refused("bad.pth", error, () => readPytorch(put(folder, "bad.pth", bytes)));
    });
  });
}
