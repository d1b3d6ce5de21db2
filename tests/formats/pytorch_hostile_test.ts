import assert from "node:assert/strict";
import { readPytorch } from "../../lib/formats/pytorch.ts";
import { bytesOf, put, refused, u64, withFolder } from "./folder.ts";
import { checkpointOf, op, type Said, tensorOf, zipOf } from "./pytorch_bytes.ts";

/** A checkpoint of one tensor that says wrong things of itself. */
const tensor = (said: Said): Uint8Array =>
  checkpointOf(op.program(op.dict(op.text("x"), tensorOf(said))));
/** A checkpoint of this pickle between PROTO and STOP. */
const pickle = (...parts: readonly (Uint8Array | string)[]): Uint8Array =>
  checkpointOf(op.program(...parts));
const good = op.program(op.dict(op.text("x"), tensorOf()));
const CASES: readonly [name: string, bytes: Uint8Array, error: RegExp][] = [
  ["no bytes", new Uint8Array(), /does not begin as a ZIP archive/],
  ["a safetensors header", bytesOf(u64(2), "{}"), /does not begin as a ZIP archive/],
  [
    "the layout from before 1.6",
    bytesOf([0x80, 2, 0x8a, 10], "rest"),
    /from before version 1.6, which is not read/,
  ],
  [
    "a call of os.system",
    pickle(op.global("os", "system"), op.tuple(op.text("true")), "R"),
    /asks for "os.system", which is not/,
  ],
  [
    "a call of eval",
    pickle(op.global("builtins", "eval"), op.tuple(op.text("1")), "R"),
    /asks for "builtins.eval"/,
  ],
  [
    "a call of getattr",
    pickle(op.global("__builtin__", "getattr")),
    /asks for "__builtin__.getattr"/,
  ],
  [
    "numpy's scalars",
    pickle(op.global("numpy.core.multiarray", "scalar")),
    /asks for "numpy.core.multiarray.scalar"/,
  ],
  [
    "a module of PyTorch",
    pickle(op.global("torch.nn.modules.linear", "Linear")),
    /asks for "torch.nn.modules.linear.Linear"/,
  ],
  [
    "a name with a line of dots",
    pickle(op.global("torch._utils._rebuild_tensor_v2.__globals__", "x")),
    /asks for/,
  ],
  ["a name of a kilobyte", pickle(op.global("a".repeat(1000), "b")), /has a name without an end/],
  ["a name without an end", pickle("cos"), /has a name without an end/],
  ["a name with escapes", pickle(op.global("os\x1b[2J", "x")), /asks for "os\\u001b\[2J.x"/],
  ["INST", pickle("(ios\nsystem\n"), /has the opcode 0x69 'i', which no tensor needs/],
  ["OBJ", pickle("(o"), /has the opcode 0x6f 'o'/],
  [
    "NEWOBJ",
    pickle(op.global("collections", "OrderedDict"), ")", Uint8Array.of(0x81)),
    /has the opcode 0x81/,
  ],
  ["an extension", pickle(Uint8Array.of(0x82, 1)), /has the opcode 0x82/],
  [
    "STACK_GLOBAL",
    pickle(op.text("os"), op.text("system"), Uint8Array.of(0x93)),
    /has the opcode 0x93/,
  ],
  ["protocol 4", checkpointOf(bytesOf([0x80, 4], "}.")), /is of protocol 4, wanted 2/],
  ["a call of a string", pickle(op.text("x"), ")R"), /calls what is no function/],
  [
    "a call of a storage class",
    pickle(op.global("torch", "FloatStorage"), ")R"),
    /calls "torch.FloatStorage" with arguments/,
  ],
  [
    "a call without a tuple",
    pickle(op.global("collections", "OrderedDict"), "NR"),
    /calls what is no function/,
  ],
  ["attributes of a list", pickle("]}b"), /sets attributes of what is no dict/],
  ["attributes of a tensor", pickle(tensorOf(), "}b"), /sets attributes of what is no dict/],
  [
    "a dict with a tuple as key",
    pickle(op.dict(")", "N")),
    /keys are neither strings nor integers/,
  ],
  [
    "a tensor name twice",
    pickle(op.dict(op.text("x"), tensorOf(), op.text("x"), tensorOf())),
    /has the key "x" twice/,
  ],
  ["an odd number of items", pickle("}(", op.text("x"), "u"), /sets an item of what is no dict/],
  ["an item of a list", pickle("](NNu"), /sets an item of what is no dict/],
  ["an appended item of a dict", pickle("}Na"), /appends to what is no list/],
  ["a value from an empty stack", pickle("R"), /takes a value where there is none/],
  ["a mark that is passed", pickle("}(", "R"), /takes a value where there is none/],
  ["a tuple without a mark", pickle("t"), /ends a list that was not begun/],
  ["a recalled value that was not kept", pickle("h\x05"), /recalls value 5, which it has not kept/],
  [
    "a far recalled value",
    pickle("j", Uint8Array.of(255, 255, 255, 255)),
    /recalls value 4294967295/,
  ],
  ["two values", pickle("}", "}"), /ends with 2 values, wanted 1/],
  ["no value", pickle(""), /ends with 0 values/],
  ["an open mark", pickle("}("), /ends with 1 values/],
  ["a million dicts", pickle("}".repeat(1_000_000)), /makes more values than any state dict has/],
  ["two million marks", pickle("(".repeat(2_000_000)), /makes more values than any state dict has/],
  ["bytes behind STOP", checkpointOf(bytesOf(good, "x")), /goes on after its end/],
  ["a pickle without an end", checkpointOf(good.subarray(0, -1)), /ends inside a value/],
  [
    "a string longer than the pickle",
    pickle("X", Uint8Array.of(255, 255, 255, 255)),
    /ends inside a value/,
  ],
  [
    "a string that is not UTF-8",
    pickle("X", Uint8Array.of(1, 0, 0, 0, 0xff)),
    /has a string that is not UTF-8/,
  ],
  [
    "an integer of 255 bytes",
    pickle(Uint8Array.of(0x8a, 255), new Uint8Array(255).fill(1)),
    /an integer beyond 2\^53/,
  ],
  [
    "a dict without tensors",
    pickle(op.dict(op.text("epoch"), op.int(3))),
    /a dict, but no tensors in it/,
  ],
  ["a list at the top", pickle("]"), /holds no dict of tensors/],
  ["a tensor at the top", pickle(tensorOf()), /holds no dict of tensors/],
  [
    "a persistent id that is text",
    pickle(op.text("x"), "Q"),
    /refers to something that is no storage/,
  ],
  [
    "a storage of an unknown class",
    tensor({ storage: "QInt8Storage" }),
    /asks for "torch.QInt8Storage"/,
  ],
  [
    "a storage with a negative count",
    tensor({ elements: -1 }),
    /refers to something that is no storage/,
  ],
  [
    "a storage larger than its entry",
    tensor({ elements: 5 }),
    /a storage of 5 f32 elements, and its entry has 16 bytes/,
  ],
  [
    "a storage smaller than its entry",
    tensor({ elements: 3 }),
    /a storage of 3 f32 elements, and its entry has 16 bytes/,
  ],
  [
    "a storage of 2^31 - 1 elements",
    tensor({ elements: 2 ** 31 - 1 }),
    /a storage of 2147483647 f32 elements/,
  ],
  [
    "a storage that is missing",
    tensor({ key: "7" }),
    /values in entry "data\/7", which is missing/,
  ],
  [
    "a storage key that climbs",
    tensor({ key: "../data.pkl" }),
    /entry "data\/..\/data.pkl", which is missing/,
  ],
  [
    "a negative offset",
    tensor({ offset: -1 }),
    /calls "torch._utils._rebuild_tensor_v2" with arguments/,
  ],
  [
    "a negative extent",
    tensor({ shape: [-1, 2] }),
    /calls "torch._utils._rebuild_tensor_v2" with arguments/,
  ],
  [
    "a negative stride",
    tensor({ strides: [-2, 1] }),
    /calls "torch._utils._rebuild_tensor_v2" with arguments/,
  ],
  [
    "fewer strides than axes",
    tensor({ strides: [1] }),
    /calls "torch._utils._rebuild_tensor_v2" with arguments/,
  ],
  ["an offset beyond the storage", tensor({ offset: 1 }), /at 1 leaves its storage of 4 elements/],
  [
    "a stride beyond the storage",
    tensor({ strides: [3, 1] }),
    /strides \[3, 1\] at 0 leaves its storage/,
  ],
  [
    "an extent beyond the storage",
    tensor({ shape: [3, 2] }),
    /of shape \[3, 2\] .* leaves its storage/,
  ],
  [
    "a view of 2^60 elements on one",
    tensor({ shape: [2 ** 30, 2 ** 30], strides: [0, 0] }),
    /has 2\^53 bytes or more/,
  ],
  [
    "a view of 2^30 elements on one",
    tensor({ shape: [2 ** 15, 2 ** 15], strides: [0, 0] }),
    /leaves its storage of 4 elements/,
  ],
  [
    "a tensor of 65 axes",
    tensor({ shape: Array(65).fill(1), strides: Array(65).fill(1) }),
    /with arguments/,
  ],
  [
    "a negated view",
    tensor({ more: [op.dict(op.text("neg"), Uint8Array.of(0x88))] }),
    /with arguments/,
  ],
  [
    "no pickle",
    zipOf([{ name: "archive/data/0", data: new Uint8Array(16) }]),
    /has 0 entries NAME\/data.pkl/,
  ],
  [
    "two pickles",
    zipOf(["a", "b"].map((name) => ({ name: `${name}/data.pkl`, data: good }))),
    /has 2 entries NAME\/data.pkl/,
  ],
  [
    "a damaged pickle",
    zipOf([{ name: "archive/data.pkl", data: good, crc: 1 }]),
    /"archive\/data.pkl" is damaged: the CRC-32 differs/,
  ],
  [
    "big-endian values",
    zipOf([{ name: "archive/data.pkl", data: good }, {
      name: "archive/byteorder",
      data: bytesOf("big"),
    }]),
    /byte order is "big", wanted "little"/,
  ],
];

for (const [name, bytes, error] of CASES) {
  Deno.test(`a PyTorch file with ${name} is refused`, async () => {
    await withFolder(async (folder) => {
      await refused("bad.pth", error, () => readPytorch(put(folder, "bad.pth", bytes)));
    });
  });
}

Deno.test("a pickle that doubles a tuple sixty times costs nothing, for nothing unfolds it", async () => {
  await withFolder(async (folder) => {
    const double = (_: unknown, i: number): Uint8Array =>
      bytesOf("(h", [i], "h", [i], "tq", [i + 1]);
    const bomb = op.tuple("]q\0", ...Array.from({ length: 60 }, double));
    const bytes = pickle(op.dict(op.text("bomb"), bomb, op.text("x"), tensorOf()));
    const { records } = await readPytorch(put(folder, "bomb.pth", bytes));
    assert.deepEqual([...records.keys()], ["x"]);
  });
});

Deno.test("a pickle of more than 16 MB is refused before it is read", async () => {
  await withFolder(async (folder) => {
    const bytes = zipOf([{ name: "a/data.pkl", data: new Uint8Array((16 << 20) + 1) }]);
    await refused(
      "long.pth",
      /has 16777217 bytes, and at most 16777216 are read/,
      () => readPytorch(put(folder, "long.pth", bytes)),
    );
  });
});
