import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { AtomicFile, writeFileAtomically } from "../../lib/base/atomic_file.ts";
import { AtomicFolder, checkOutputFolder } from "../../lib/base/atomic_folder.ts";
import { LlameroError } from "../../lib/base/errors.ts";
import { discardUnfinished } from "../../lib/base/unfinished.ts";
import { withFolder } from "../formats/folder.ts";

const options = { replaceable: (name: string) => name.endsWith(".txt") };
const forced = { ...options, force: true };

/** Fills and commits a folder with one file. */
function write(path: string, content: string, how: typeof options & { force?: boolean }): void {
  using folder = AtomicFolder.create(path, how);
  writeFileAtomically(folder.file("a.txt"), content);
  folder.commit();
}

/** Expects the refusal, and that nothing was left behind. */
function refused(path: string, pattern: RegExp, how: typeof options & { force?: boolean }): void {
  assert.throws(() => write(path, "new", how), (error: unknown) => {
    assert.ok(error instanceof LlameroError, String(error));
    assert.match(error.message, pattern);
    assert.match(error.message, /^Cannot write ".*out.*": /);
    return true;
  });
}

const content = (path: string): string => fs.readFileSync(join(path, "a.txt"), "utf8");

Deno.test("a folder appears under its name only when it is committed", async () => {
  await withFolder((parent) => {
    const path = join(parent, "out");
    using folder = AtomicFolder.create(`${path}/`, options);
    writeFileAtomically(folder.file("a.txt"), "one");
    assert.equal(fs.existsSync(path), false);
    folder.commit();
    assert.equal(content(path), "one");
    assert.deepEqual(fs.readdirSync(parent), ["out"]);
    assert.throws(() => folder.commit(), TypeError);
  });
});

Deno.test("an empty folder is taken, a filled one refused or, when forced, replaced whole", async () => {
  await withFolder((parent) => {
    const path = join(parent, "out");
    fs.mkdirSync(path);
    write(path, "one", options);
    writeFileAtomically(join(path, "b.txt"), "stale");
    refused(path, /it exists already$/, options);
    assert.equal(content(path), "one");
    write(path, "two", forced);
    assert.equal(content(path), "two");
    assert.deepEqual(fs.readdirSync(path), ["a.txt"]);
    assert.deepEqual(fs.readdirSync(parent), ["out"]);
  });
});

Deno.test("force does not replace a folder with anything that is not replaceable", async () => {
  await withFolder((parent) => {
    const path = join(parent, "out");
    fs.mkdirSync(join(path, "photos"), { recursive: true });
    refused(path, /it has the folder "photos", which would be lost/, forced);
    fs.rmdirSync(join(path, "photos"));
    fs.writeFileSync(join(path, "thesis.tex"), "");
    refused(path, /it has the file "thesis.tex", which would be lost/, forced);
    assert.deepEqual(fs.readdirSync(path), ["thesis.tex"]);
    assert.deepEqual(fs.readdirSync(parent), ["out"]);
  });
});

Deno.test("a file and a link to nothing are refused, and a link to a folder stays a link", async () => {
  await withFolder((parent) => {
    const file = join(parent, "out.file");
    fs.writeFileSync(file, "");
    refused(file, /it exists and is no folder, and a folder was wanted/, forced);
    const dangling = join(parent, "out.dangling");
    fs.symlinkSync(join(parent, "nowhere"), dangling);
    refused(dangling, /it is a symbolic link to nothing/, forced);
    const real = join(parent, "real");
    fs.mkdirSync(real);
    const link = join(parent, "out.link");
    fs.symlinkSync(real, link);
    write(link, "one", options);
    assert.ok(fs.lstatSync(link).isSymbolicLink());
    assert.equal(content(real), "one");
  });
});

Deno.test("what is not committed leaves nothing, even with files still open", async () => {
  await withFolder((parent) => {
    const path = join(parent, "out");
    {
      using folder = AtomicFolder.create(path, options);
      using file = AtomicFile.create(folder.file("a.txt"));
      file.write(new Uint8Array(10));
    }
    assert.deepEqual(fs.readdirSync(parent), []);
    const folder = AtomicFolder.create(path, options);
    const file = AtomicFile.create(folder.file("a.txt"));
    file.write(new Uint8Array(10));
    discardUnfinished();
    assert.deepEqual(fs.readdirSync(parent), []);
    assert.throws(() => folder.commit(), TypeError);
  });
});

Deno.test("a folder that appeared while the work was done is refused, and the work discarded", async () => {
  await withFolder((parent) => {
    const path = join(parent, "out");
    using folder = AtomicFolder.create(path, options);
    write(path, "another's", options);
    assert.throws(() => folder.commit(), /it exists already/);
    assert.equal(content(path), "another's");
    assert.deepEqual(fs.readdirSync(parent), ["out"]);
  });
});

Deno.test("a folder that cannot be made names the path", async () => {
  await withFolder((parent) => {
    refused(join(parent, "none", "out"), /no such file or folder/, options);
    fs.writeFileSync(join(parent, "file"), "");
    refused(join(parent, "file", "out"), /a part of the path is a file/, options);
    assert.throws(() => checkOutputFolder(join(parent, "file", "out"), options), LlameroError);
  });
});

Deno.test("a dash is stdout and no name of a folder", () => {
  assert.throws(() => checkOutputFolder("-", forced), {
    name: "UsageError",
    message: /a folder was wanted$/,
  });
  assert.doesNotThrow(() => checkOutputFolder("./-", options));
});
