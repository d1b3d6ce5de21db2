import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { runCli } from "../cli/run_cli.ts";
import { temporaryFolder } from "../formats/folder.ts";
import { STORIES, STORIES_TOKENIZER } from "../infer/stories.ts";
import { greedyOfLlamaCpp, testWithLlamaCpp } from "./llama_cpp.ts";

const COUNT = 256;

for (const backend of ["native", "wasm"]) {
  testWithLlamaCpp(
    `llama.cpp continues our GGUF as we do, for ${COUNT} tokens (${backend})`,
    async () => {
      using folder = temporaryFolder();
      const model = join(folder.path, "stories.gguf");
      const convert = ["convert", STORIES, model, "--to", "gguf", "--tokenizer", STORIES_TOKENIZER];
      const made = await runCli(convert);
      strictEqual(made.code, 0, made.stderr);
      for (const prompt of ["Once upon a time", "The little dog", "Tim and Lily"]) {
        const encoded = await runCli(
          ["tokenize", "encode", "--tokenizer", model, "--bos", "--json", "-"],
          { stdin: prompt },
        );
        const { ids } = JSON.parse(encoded.stdout);
        const args = ["--prompt", prompt, "--temperature", "0", "--ignore-eos", "--json"];
        const ours = await runCli([
          ...["generate", "--model", model, "--max-tokens", `${COUNT}`, "--backend", backend],
          ...args,
        ]);
        strictEqual(ours.code, 0, ours.stderr);
        const { tokens } = JSON.parse(ours.stdout);
        const theirs = greedyOfLlamaCpp({ model, prompt: ids, count: COUNT });
        // Where llama.cpp ends a text we go on: what counts is what comes before.
        const end = theirs.findIndex((id) => id === 1 || id === 2);
        const length = end < 0 ? COUNT : end;
        deepStrictEqual(theirs.slice(0, length), tokens.slice(0, length));
      }
    },
  );
}
