import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import {
  AtomicFile,
  checkOutputPath,
  tryOutputPath,
  writeFileAtomically,
} from "../../lib/base/atomic_file.ts";
import { LlameroError } from "../../lib/base/errors.ts";
import { discardUnfinished } from "../../lib/base/unfinished.ts";
import { withFolder } from "../formats/folder.ts";

const text = (path: string): string => fs.readFileSync(path, "utf8");
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);

Deno.test("a file appears under its name only when it is committed", async () => {
  await withFolder((folder) => {
    const path = join(folder, "out.bin");
    using file = AtomicFile.create(path);
    file.write(bytes("abc"));
    file.write(bytes("def"));
    assert.equal(fs.existsSync(path), false);
    file.commit();
    assert.equal(text(path), "abcdef");
    assert.deepEqual(fs.readdirSync(folder), ["out.bin"]);
  });
});

Deno.test("short and long writes and patches land where they belong", async () => {
  await withFolder((folder) => {
    const path = join(folder, "out.bin");
    using file = AtomicFile.create(path);
    const wanted = new Uint8Array(400_000).map((_, i) => i * 7);
    for (let at = 0, step = 1; at < wanted.length; at += step, step = (step * 3) % 100_003) {
      file.write(wanted.subarray(at, at + step));
      wanted[at] = 255;
      file.writeAt(Uint8Array.of(255), at);
    }
    assert.equal(file.length, wanted.length);
    assert.throws(() => file.writeAt(bytes("xy"), wanted.length - 1), RangeError);
    file.commit();
    assert.deepEqual(new Uint8Array(fs.readFileSync(path)), wanted);
  });
});

Deno.test("a file that exists is refused with a hint, and replaced when forced", async () => {
  await withFolder((folder) => {
    const path = join(folder, "out.txt");
    writeFileAtomically(path, "old");
    assert.throws(() => writeFileAtomically(path, "new"), (error: unknown) => {
      assert.ok(error instanceof LlameroError);
      assert.match(error.message, /^Cannot write ".*out\.txt": it exists already$/);
      assert.match(error.hint ?? "", /--force/);
      return true;
    });
    assert.equal(text(path), "old");
    writeFileAtomically(path, "new", { force: true });
    assert.equal(text(path), "new");
  });
});

Deno.test("a dash is stdout and no name of a file", () => {
  assert.throws(() => checkOutputPath("-", { force: true }), {
    name: "UsageError",
    message: /^Cannot write to stdout: /,
  });
  assert.doesNotThrow(() => checkOutputPath("./-", { force: true }));
});

Deno.test("an output that is tried before long work leaves nothing, or says why it cannot be", async () => {
  await withFolder((folder) => {
    tryOutputPath(join(folder, "out.bin"));
    assert.deepEqual(fs.readdirSync(folder), []);
    const lost = join(folder, "none", "out.bin");
    assert.throws(() => tryOutputPath(lost), /^LlameroError: Cannot write ".*out\.bin": no such/);
    writeFileAtomically(join(folder, "there"), "old");
    assert.throws(() => tryOutputPath(join(folder, "there")), /exists already/);
    tryOutputPath(join(folder, "there"), { force: true });
    assert.equal(text(join(folder, "there")), "old");
  });
});

Deno.test("a file that appears while another is written is not overwritten", async () => {
  await withFolder((folder) => {
    const path = join(folder, "out.txt");
    using file = AtomicFile.create(path);
    file.write(bytes("late"));
    fs.writeFileSync(path, "early");
    assert.throws(() => file.commit(), /exists already/);
    assert.equal(text(path), "early");
    assert.deepEqual(fs.readdirSync(folder), ["out.txt"]);
  });
});

Deno.test("what is not committed leaves nothing, whether dropped, discarded or interrupted", async () => {
  await withFolder((folder) => {
    const path = join(folder, "out.bin");
    {
      using dropped = AtomicFile.create(path);
      dropped.write(bytes("abc"));
    }
    const discarded = AtomicFile.create(path);
    discarded.write(bytes("abc"));
    discarded.discard();
    discarded.discard();
    const [first, second] = [AtomicFile.create(path), AtomicFile.create(join(folder, "other"))];
    first.write(bytes("abc"));
    second.finish();
    discardUnfinished();
    assert.deepEqual(fs.readdirSync(folder), []);
    assert.throws(() => first.commit(), TypeError);
    assert.throws(() => first.write(bytes("x")), TypeError);
  });
});

Deno.test("a finished file can be committed later, together with others", async () => {
  await withFolder((folder) => {
    const names = ["a", "b"];
    const files = names.map((name) => AtomicFile.create(join(folder, name)));
    for (const file of files) {
      file.write(bytes(file.path.slice(-1)));
      file.finish();
      assert.throws(() => file.write(bytes("x")), TypeError);
    }
    for (const file of files) file.commit();
    assert.deepEqual(names.map((name) => text(join(folder, name))), names);
  });
});

Deno.test("a folder, or a folder that is absent, is refused by name", async () => {
  await withFolder((folder) => {
    assert.throws(
      () => AtomicFile.create(folder, { force: true }),
      /it is a folder, and a file was wanted/,
    );
    const lost = join(folder, "no", "out.bin");
    assert.throws(
      () => AtomicFile.create(lost),
      /^LlameroError: Cannot write ".*out\.bin": no such file or folder/,
    );
  });
});

Deno.test({
  name: "a device is never replaced, and a symbolic link is, not what it points to",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    assert.throws(() => checkOutputPath("/dev/null", { force: true }), /no regular file/);
    await withFolder((folder) => {
      const [target, link] = [join(folder, "target"), join(folder, "link")];
      fs.writeFileSync(target, "kept");
      fs.symlinkSync(target, link);
      assert.throws(() => writeFileAtomically(link, "new"), /exists already/);
      writeFileAtomically(link, "new", { force: true });
      assert.equal(text(target), "kept");
      assert.equal(text(link), "new");
    });
  },
});
