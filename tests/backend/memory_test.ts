import assert from "node:assert/strict";
import { join } from "node:path";

import { BackendError, KernelError, LlameroError } from "../../lib/base/errors.ts";
import { onBackends } from "../on_backends.ts";

const pattern = (bytes: number, seed: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(bytes).map((_, i) => (i * 31 + seed * 17) & 255);

onBackends("what is uploaded, copied and filled is what is downloaded", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  for (const bytes of [1, 63, 4096, 1_000_003, 5_000_000]) {
    const [a, b] = [backend.alloc(bytes), backend.alloc(bytes)];
    const source = pattern(bytes, bytes);
    backend.upload(a, source);
    backend.copy(b, a, bytes);
    backend.fill(a, 0x1a7, 1);
    const [first, second] = [new Uint8Array(bytes), new Uint8Array(bytes)];
    backend.download(first, a);
    backend.download(second, b);
    assert.deepEqual(second, source);
    assert.equal(first[0], 0xa7);
    assert.deepEqual(first.subarray(1), source.subarray(1));
    backend.free(a);
    backend.free(b);
  }
}, { gpu: true });

onBackends("views of every kind travel with their offset and length", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const address = backend.alloc(64);
  const whole = Float32Array.from([1, 2, 3, 4, 5, 6]);
  backend.upload(address, whole.subarray(2, 5));
  const back = new Float64Array(4);
  backend.download(new DataView(back.buffer, 8, 12), address);
  assert.deepEqual([...new Float32Array(back.buffer, 8, 3)], [3, 4, 5]);
  assert.equal(back[0], 0);
  backend.upload(address, new Uint8Array(0));
  backend.download(new Uint8Array(0), address);
}, { gpu: true });

onBackends("overlapping copies move the bytes as if through a buffer", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const address = backend.alloc(256);
  const source = pattern(200, 3);
  backend.upload(address, source);
  backend.copy(address + 10, address, 200);
  const moved = new Uint8Array(200);
  backend.download(moved, address + 10);
  assert.deepEqual(moved, source);
}, { gpu: true });

onBackends("memory is zeroed and aligned to 64 bytes, also when it is used again", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  for (let round = 0; round < 3; round++) {
    const held = [1, 100, 5000, 70_000, 3_000_000].map((bytes) => {
      const address = backend.alloc(bytes);
      const content = new Uint8Array(bytes);
      backend.download(content, address);
      assert.equal(address % 64, 0);
      assert.ok(content.every((byte) => byte === 0), `dirty in round ${round}`);
      backend.fill(address, 255, bytes);
      return address;
    });
    held.forEach((address) => backend.free(address));
  }
}, { gpu: true });

onBackends("memory that nobody has is refused, and the backend goes on", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  for (const bytes of [2 ** 46, 2 ** 52]) {
    assert.throws(() => backend.alloc(bytes), (error: unknown) => {
      assert.ok(error instanceof BackendError);
      assert.match(error.message, new RegExp(`^Cannot reserve ${bytes} bytes: `));
      return true;
    });
  }
  backend.free(backend.alloc(1000));
}, { gpu: true });

onBackends("an address that alloc did not give is not freed, nor one twice", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const address = backend.alloc(1000);
  assert.throws(() => backend.free(address + 64), /Cannot free address \d+: .*alloc/);
  backend.free(address);
  assert.throws(() => backend.free(address), BackendError);
  assert.throws(() => backend.upload(0, new Uint8Array(4)), /address 0/);
  assert.throws(() => backend.download(new Uint8Array(4), 0), /address 0/);
}, { gpu: true });

onBackends("WebAssembly's 4 GiB can be filled to the end, freed and used again", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  const held: number[] = [];
  const fill = (): void => {
    for (let i = 0; i < 9; i++) held.push(backend.alloc(2 ** 29));
  };
  assert.throws(fill, (error: unknown) => {
    assert.ok(error instanceof BackendError);
    assert.match(error.message, /4 GiB/);
    assert.match(error.hint ?? "", /native/);
    return true;
  });
  assert.equal(held.length, 7);
  const last = held.at(-1)!;
  backend.upload(last + 2 ** 29 - 3, Uint8Array.of(1, 2, 3));
  const end = new Uint8Array(4);
  backend.download(end, last + 2 ** 29 - 4);
  assert.deepEqual([...end], [0, 1, 2, 3]);
  held.forEach((address) => backend.free(address));
  // Larger than any of the blocks was: they have been merged.
  backend.free(backend.alloc(2 ** 29 + 2 ** 20));
}, { only: "wasm" });

onBackends("a refused argument is an error with the kernel's name and values", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  assert.throws(() => backend.kernels.add({ out: 0, x: 64, count: 3 }), (error: unknown) => {
    assert.ok(error instanceof KernelError);
    assert.match(error.message, /^Cannot run the kernel "add": .*address 0.*count 3/);
    return true;
  });
}, { gpu: true });

onBackends("a file is mapped with all its bytes until it is closed", async ({ open }) => {
  const path = await Deno.makeTempFile({ prefix: "llamero größe " });
  try {
    const content = pattern(100_000, 9);
    await Deno.writeFile(path, content);
    using opened = await open();
    const mapped = opened.backend.mapFile(path);
    assert.ok(mapped !== undefined);
    assert.equal(mapped.bytes, content.length);
    const back = new Uint8Array(content.length - 5);
    opened.backend.download(back, mapped.address + 5);
    assert.deepEqual(back, content.subarray(5));
    mapped.close();
    assert.throws(() => mapped.close(), BackendError);
    // One that is still open when the backend closes goes with it.
    const left = opened.backend.mapFile(path);
    opened.backend.close();
    left?.close();
  } finally {
    await Deno.remove(path);
  }
}, { only: "native" });

onBackends("a file that cannot be mapped is an error with its name", async ({ open }) => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(join(folder, "empty"), new Uint8Array());
    using opened = await open();
    for (const name of ["missing", "empty", "."]) {
      const path = join(folder, name);
      assert.throws(() => opened.backend.mapFile(path), (error: unknown) => {
        assert.ok(error instanceof LlameroError);
        assert.ok(error.message.startsWith(`Cannot map "${path}": `), error.message);
        return true;
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}, { only: "native" });

onBackends("WebAssembly says that it maps no files", async ({ open }) => {
  using opened = await open();
  assert.equal(opened.backend.mapFile("anything"), undefined);
}, { only: "wasm" });
