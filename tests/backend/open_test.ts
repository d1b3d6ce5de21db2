import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { BackendError, UsageError } from "../../lib/base/errors.ts";
import type { BackendName } from "../../lib/backend/backend.ts";
import { ABI_HASH } from "../../lib/backend/kernels.generated.ts";
import { nativeLibrary, openNative } from "../../lib/backend/native.ts";
import { availableBackends, openBackend } from "../../lib/backend/open.ts";
import { automaticThreads } from "../../lib/backend/threads.ts";
import { Unavailable } from "../../lib/backend/unavailable.ts";
import { openWasm } from "../../lib/backend/wasm.ts";
import { REPOSITORY, testWith } from "../fixtures.ts";
import { onBackends } from "../on_backends.ts";

const MODULE = join(REPOSITORY, "kernels/wasm/llamero.wasm");

/** A copy of a library whose hash of the kernel table is another one. */
async function staleCopy(library: string): Promise<string> {
  const bytes = await Deno.readFile(library);
  const hash = new Uint8Array(Float64Array.of(ABI_HASH).buffer);
  let found = 0;
  for (let at = 0; at + 8 <= bytes.length; at++) {
    if (!hash.every((byte, i) => bytes[at + i] === byte)) continue;
    bytes[at]! ^= 1;
    found++;
  }
  assert.ok(found > 0, "the library does not contain its hash");
  const copy = await Deno.makeTempFile({ prefix: "llamero-stale-" });
  await Deno.writeFile(copy, bytes);
  return copy;
}

function isStale(error: unknown, command: string): true {
  assert.ok(error instanceof Unavailable, String(error));
  assert.match(error.message, /another kernel table/);
  assert.equal(error.hint, command);
  assert.ok(error.stale);
  return true;
}

Deno.test("a WebAssembly module of another kernel table is refused with the rebuild", async () => {
  const copy = await staleCopy(MODULE);
  try {
    await assert.rejects(
      openWasm({ threads: 1, module: pathToFileURL(copy) }),
      (error: unknown) => isStale(error, "deno task build:wasm"),
    );
  } finally {
    await Deno.remove(copy);
  }
});

testWith(
  [nativeLibrary()!],
  "a native library of another kernel table is refused with the rebuild",
  async () => {
    const copy = await staleCopy(nativeLibrary()!);
    try {
      assert.throws(
        () => openNative({ threads: 1, library: copy }),
        (error: unknown) => isStale(error, "deno task build:native"),
      );
    } finally {
      await Deno.remove(copy);
    }
  },
);

Deno.test("a library that is absent or none at all is refused with the reason", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const none = join(folder, "none");
    assert.throws(() => openNative({ threads: 1, library: none }), /no library at .*none/);
    await Deno.writeTextFile(none, "no library");
    assert.throws(() => openNative({ threads: 1, library: none }), Unavailable);
    const url = pathToFileURL(none);
    await assert.rejects(openWasm({ threads: 1, module: url }), /cannot compile the kernels/);
    const absent = pathToFileURL(join(folder, "absent"));
    await assert.rejects(openWasm({ threads: 1, module: absent }), /cannot read .*absent/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("every backend is listed, available or with the reason why not", async () => {
  const backends = await availableBackends();
  assert.deepEqual(backends.map(({ name }) => name), ["cuda", "native", "wasm"]);
  for (const { name, available, reason } of backends) {
    assert.ok(reason.length > 0);
    if (name === "wasm") assert.ok(available, reason);
  }
});

Deno.test("auto takes the first available backend and tells what it passed over", async () => {
  const backends = await availableBackends();
  const first = backends.findIndex(({ available }) => available);
  const backend = await openBackend({ threads: 1 });
  try {
    assert.equal(backend.name, backends[first]?.name);
    assert.deepEqual(
      backend.passedOver.map(({ name }) => name),
      backends.slice(0, first).map(({ name }) => name),
    );
    assert.ok(backend.passedOver.every(({ reason }) => reason !== ""));
  } finally {
    backend.close();
  }
});

Deno.test("a backend that is named and not there is an error that says why", async () => {
  const unavailable = (await availableBackends()).filter(({ available }) => !available);
  assert.ok(unavailable.length > 0, "CUDA is not built yet");
  for (const { name, reason } of unavailable) {
    await assert.rejects(openBackend({ backend: name, threads: 1 }), (error: unknown) => {
      assert.ok(error instanceof BackendError);
      assert.equal(error.message, `Cannot open the backend "${name}": ${reason}`);
      assert.deepEqual(error.tried, [{ name, reason }]);
      return true;
    });
  }
});

Deno.test("an unknown backend and an absurd number of threads are mistakes of usage", async () => {
  const backend = "cdua" as BackendName;
  await assert.rejects(openBackend({ backend }), /auto, cuda, native, wasm are known/);
  for (const threads of [0, -1, 1.5, NaN, 1025]) {
    await assert.rejects(openBackend({ backend: "wasm", threads }), UsageError);
  }
});

Deno.test("the automatic number of threads lies within what the machine has", () => {
  const threads = automaticThreads();
  assert.ok(Number.isInteger(threads));
  assert.ok(threads >= Math.ceil(navigator.hardwareConcurrency / 2));
  assert.ok(threads <= navigator.hardwareConcurrency);
});

onBackends("an open backend says its name, threads and instruction set", async (on) => {
  using opened = await on.open(2);
  const { name, info } = opened.backend;
  assert.equal(name, on.name);
  assert.equal(info.threads, 2);
  assert.ok(info.isa.length > 0);
  assert.ok(info.features.every((feature) => typeof feature === "string"));
});

onBackends("forty contexts, one after another and beside each other, share nothing", async (on) => {
  for (let i = 0; i < 30; i++) (await on.open(1 + i % 2))[Symbol.dispose]();
  const opened = await Promise.all(Array.from({ length: 10 }, () => on.open()));
  const addresses = opened.map(({ backend }, i) => {
    const address = backend.alloc(64);
    backend.upload(address, Uint8Array.of(i));
    return address;
  });
  opened.forEach(({ backend }, i) => {
    const back = new Uint8Array(1);
    backend.download(back, addresses[i]!);
    assert.equal(back[0], i);
  });
  for (const one of opened) {
    one[Symbol.dispose]();
    one[Symbol.dispose]();
  }
});

Deno.test("what only the processor does is never given to a GPU unasked", async () => {
  const backend = await openBackend({ threads: 1, processor: true });
  try {
    assert.notEqual(backend.name, "cuda");
    assert.ok(backend.passedOver.every(({ name }) => name !== "cuda"));
  } finally {
    backend.close();
  }
});
