import { join } from "node:path";
import { put, u32, withFolder } from "../formats/folder.ts";
import { type Refusal, refused } from "./refused.ts";
import { CONFIG, writeHuggingFace } from "./small_model.ts";

/** Registers a test over a folder whose content the body makes. */
function place(
  what: string,
  wanted: Refusal,
  make: (folder: string) => string | Promise<string>,
): void {
  Deno.test(`there is no model: ${what}`, async () => {
    await withFolder(async (folder) => refused(await make(folder), wanted));
  });
}

place("nothing at the path", {
  kind: "LlameroError",
  message: /nothing": no such file or folder/,
}, (folder) => join(folder, "nothing"));
place("an empty folder", {
  kind: "LlameroError",
  message: /the folder is empty, a model was wanted/,
}, (folder) => folder);
place("a folder of something else", {
  kind: "LlameroError",
  message: /none of its 2 files is a config\.json or params\.json/,
}, (folder) => {
  put(folder, "a.txt", u32(1));
  put(folder, "b.txt", u32(2));
  return folder;
});
place("a folder with one GGUF file, which the hint names", {
  kind: "LlameroError",
  message: /none of its 1 file is/,
  hint: /name the file: ".*tiny\.gguf"/,
}, (folder) => {
  put(folder, "tiny.gguf", u32(1));
  return folder;
});
place("a config without weights", {
  kind: "LlameroError",
  message: /it has a config\.json and no weights, "model\.safetensors" was wanted/,
}, (folder) => {
  Deno.writeTextFileSync(join(folder, "config.json"), JSON.stringify(CONFIG));
  return folder;
});
place("weights without a config", {
  kind: "LlameroError",
  message: /it has weights and no config\.json/,
}, async (folder) => {
  await writeHuggingFace(folder);
  Deno.removeSync(join(folder, "config.json"));
  return folder;
});
place("a weight file without a config", {
  kind: "LlameroError",
  message: /model\.safetensors": there is no config\.json beside it/,
}, async (folder) => {
  await writeHuggingFace(folder);
  Deno.removeSync(join(folder, "config.json"));
  return join(folder, "model.safetensors");
});
place(
  "an empty file",
  { kind: "LlameroError", message: /it is empty, a model was wanted/ },
  (f) => {
    return put(f, "model.gguf", new Uint8Array(0));
  },
);
place(
  "a text file",
  { kind: "LlameroError", message: /it is no model file that is known/ },
  (f) => {
    return put(f, "notes.md", new TextEncoder().encode("# Notes on llamas"));
  },
);
place("a GGML file from before GGUF", {
  kind: "LlameroError",
  message: /it is a GGML file from before GGUF/,
}, (folder) => put(folder, "old.bin", new TextEncoder().encode("tjgg and more of it")));
place(
  "a .bin file of noise",
  {
    kind: "FormatError",
    message: /noise\.bin": /,
  },
  (folder) =>
    put(folder, "noise.bin", Uint8Array.from({ length: 4096 }, (_, i) => (i * 89 + 31) & 255)),
);
place("config.json itself", {
  kind: "LlameroError",
  message: /it is a JSON file, a model was wanted/,
  hint: /name its folder/,
}, async (folder) => {
  await writeHuggingFace(folder);
  return join(folder, "config.json");
});
place("an index that names a missing shard", {
  kind: "FormatError",
  message: /the shard "model-00001-of-00001\.safetensors" that it names is missing/,
}, async (folder) => {
  await writeHuggingFace(folder);
  const index = { weight_map: { "model.norm.weight": "model-00001-of-00001.safetensors" } };
  Deno.writeTextFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
  return folder;
});
place("an index that reaches into other folders", {
  kind: "FormatError",
  message: /into "\.\.\/secret", wanted the name of a file beside it/,
}, async (folder) => {
  await writeHuggingFace(folder);
  const index = { weight_map: { "model.norm.weight": "../secret" } };
  Deno.writeTextFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
  return folder;
});
place("a file that is cut short", {
  kind: "FormatError",
  message: /model\.safetensors": .*ends at byte \d+ of the data/,
  hint: /cut short/,
}, async (folder) => {
  await writeHuggingFace(folder);
  const path = join(folder, "model.safetensors");
  const bytes = Deno.readFileSync(path);
  Deno.writeFileSync(path, bytes.subarray(0, bytes.length - 100));
  return folder;
});

Deno.test("a weight file that is asked for and not there is named", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    const wanted = { kind: "LlameroError", message: /other\.safetensors": no such file/ };
    await refused(folder, wanted, { file: "other.safetensors" });
    await refused(
      join(folder, "model.safetensors"),
      { kind: "LlameroError", message: /it is a file, and a folder with "x" was wanted/ },
      { file: "x" },
    );
  });
});

const MAY_READ_ALL = Deno.build.os === "windows" || Deno.uid() === 0;
const BECAUSE = MAY_READ_ALL ? " (ignored: this user may read every file)" : "";

Deno.test({
  name: `a file without permission says so${BECAUSE}`,
  ignore: MAY_READ_ALL,
  fn: async () => {
    await withFolder(async (folder) => {
      await writeHuggingFace(folder);
      const path = join(folder, "model.safetensors");
      Deno.chmodSync(path, 0);
      await refused(path, { kind: "LlameroError", message: /permission denied/ });
      Deno.chmodSync(path, 0o644);
    });
  },
});
