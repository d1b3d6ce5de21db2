import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { copyFile, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { golden } from "../fixtures.ts";
import {
  assertNear,
  GOLDEN_MODELS,
  goldenBatch,
  goldenExpected,
  goldenOutput,
  LOGIT_TOLERANCE,
  LOSS_TOLERANCE,
} from "../model/golden_models.ts";
import { assertProbe } from "../model/training/golden_training.ts";
import { runCli } from "./run_cli.ts";

/** Runs a body in a folder of its own. */
async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "probe-"));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function logitsOf(path: string): Promise<{ shape: readonly number[]; values: Float32Array }> {
  const { records } = await readSafetensors(path);
  deepStrictEqual([...records.keys()], ["logits"]);
  const record = records.get("logits")!;
  strictEqual(record.dtype, "f32");
  const bytes = (await readTensor(record)).slice();
  return { shape: record.shape, values: new Float32Array(bytes.buffer) };
}

for (const name of GOLDEN_MODELS) {
  Deno.test(`probe writes the reference's logits and losses: ${name}`, async () => {
    await inFolder(async (folder) => {
      // Llama 3.1 has a config of its own and the weights of the model beside it.
      await copyFile(golden(`${name}/config.json`), join(folder, "config.json"));
      const weights = goldenExpected(name).weights;
      await copyFile(golden(`${name}/${weights}`), join(folder, "model.safetensors"));
      const out = join(folder, "out.safetensors");
      const { code, stdout, stderr } = await runCli([
        ...["probe", "--model", folder, "--batch", golden(`${name}/batch.json`), "--out", out],
        ...["--z-loss", "1e-4", "--json"],
      ]);
      deepStrictEqual([code, stderr], [0, ""]);
      const { loss, n_counted } = {
        loss: goldenExpected(name).z_loss,
        ...goldenExpected(name).loss,
      };
      const result = JSON.parse(stdout);
      deepStrictEqual(Object.keys(result), ["loss", "ce", "z", "count"]);
      strictEqual(result.count, n_counted);
      assertNear(
        [result.loss, result.ce, result.z],
        [loss.total_f64, loss.ce_f64, loss.z_f64],
        LOSS_TOLERANCE,
      );
      const { shape, values } = await logitsOf(out);
      const { input_ids } = goldenBatch(name);
      deepStrictEqual(shape.slice(0, 2), [input_ids.length, input_ids[0]!.length]);
      assertNear(values, await goldenOutput(name, "logits_f64"), LOGIT_TOLERANCE);
      deepStrictEqual((await readdir(folder)).sort(), [
        "config.json",
        "model.safetensors",
        "out.safetensors",
      ]);
    });
  });
}

Deno.test("probe --document-mask keeps documents apart", async () => {
  await inFolder(async (folder) => {
    const { input_ids, docmask } = goldenBatch("llama_gqa");
    const batch = join(folder, "batch.json");
    await writeFile(
      batch,
      JSON.stringify({
        input_ids,
        targets: docmask.targets,
        document_ids: docmask.doc_ids,
      }),
    );
    const out = join(folder, "out.safetensors");
    const args = ["probe", "--model", golden("llama_gqa"), "--batch", batch, "--out", out];
    const { code, stdout } = await runCli([...args, "--document-mask"]);
    strictEqual(code, 0);
    match(stdout, /^loss \d+\.\d{6} = ce \d+\.\d{6} \+ z 0\.000000 over \d+ tokens\n$/);
    const { values } = await logitsOf(out);
    assertNear(values, await goldenOutput("llama_gqa", "docmask_logits"), LOGIT_TOLERANCE);
  });
});

Deno.test("probe reads its batch from stdin", async () => {
  await inFolder(async (folder) => {
    const out = join(folder, "out.safetensors");
    const args = ["probe", "--model", golden("llama_mha"), "--batch", "-", "--out", out, "--json"];
    const { code, stdout } = await runCli(args, { stdin: '{"input_ids": [[1, 2, 3]]}' });
    strictEqual(code, 0);
    deepStrictEqual(JSON.parse(stdout), { loss: null, ce: null, z: null, count: 0 });
    deepStrictEqual((await logitsOf(out)).shape, [1, 3, 256]);
  });
});

Deno.test("probe refuses what it cannot use and leaves nothing behind", async () => {
  await inFolder(async (folder) => {
    const out = join(folder, "out.safetensors");
    const batch = join(folder, "batch.json");
    const run = (model: string, extra: string[] = []) =>
      runCli(["probe", "--model", model, "--batch", batch, "--out", out, ...extra]);
    const refused = async (code: number, message: RegExp, extra: string[] = []) => {
      const outcome = await run(golden("llama_mha"), extra);
      deepStrictEqual([outcome.code, outcome.stdout], [code, ""], outcome.stderr);
      match(outcome.stderr, message);
      ok(!(await readdir(folder)).includes("out.safetensors"));
    };
    await refused(1, /Cannot read ".*batch.json": no such file/);
    await writeFile(batch, '{"input_ids": [[256]]}');
    await refused(1, /"input_ids"\[0\]\[0\] is 256, a token id below 256 was wanted/);
    await writeFile(batch, '{"input_ids": [[1]]}');
    await refused(2, /the batch has no "document_ids"/, ["--document-mask"]);
    await refused(2, /--z-loss to "-1"/, ["--z-loss", "-1"]);
    await writeFile(out, "mine");
    const existing = await run(golden("llama_mha"));
    deepStrictEqual([existing.code, existing.stdout], [1, ""]);
    match(existing.stderr, /out.safetensors": it exists already\nhint: .*--force/);
    strictEqual((await run(golden("llama_mha"), ["--force"])).code, 0);
    deepStrictEqual((await logitsOf(out)).shape, [1, 1, 256]);
  });
});

/** Runs probe with gradients on a golden model's documents, and reads them. */
async function gradientsOf(
  folder: string,
  { model, recompute }: { readonly model: string; readonly recompute: string },
): Promise<Map<string, Float32Array>> {
  const [out, grads] = [join(folder, "out.safetensors"), join(folder, "grads.safetensors")];
  const { code, stderr } = await runCli([
    ...["probe", "--model", model, "--batch", join(folder, "batch.json"), "--out", out],
    ...["--gradients", grads, "--recompute", recompute, "--document-mask", "--force"],
    ...["--z-loss", "0", "--quiet"],
  ]);
  deepStrictEqual([code, stderr], [0, ""]);
  const { records } = await readSafetensors(grads);
  const read = new Map<string, Float32Array>();
  for (const [name, record] of records) {
    read.set(name, new Float32Array((await readTensor(record)).slice().buffer));
  }
  return read;
}

for (const name of ["llama_gqa", "palm"] as const) {
  Deno.test(`probe --gradients writes them by their names, whatever --recompute: ${name}`, async () => {
    await inFolder(async (folder) => {
      const { input_ids, docmask } = goldenBatch(name);
      const { targets, doc_ids: document_ids } = docmask;
      await writeFile(
        join(folder, "batch.json"),
        JSON.stringify({ input_ids, targets, document_ids }),
      );
      const model = golden(name);
      const gradients = await gradientsOf(folder, { model, recompute: "none" });
      const probes = goldenExpected(name).docmask.grad_probes;
      deepStrictEqual([...gradients.keys()].sort(), Object.keys(probes).sort());
      for (const [tensor, values] of gradients) assertProbe(tensor, values, probes[tensor]);
      for (const recompute of ["selective", "full"]) {
        deepStrictEqual(await gradientsOf(folder, { model, recompute }), gradients);
      }
    });
  });
}

Deno.test("probe --gradients of a Meta folder are in Hugging Face's order of rows", async () => {
  await inFolder(async (folder) => {
    const { input_ids, targets } = goldenBatch("llama_mha");
    const document_ids = input_ids.map((row) => row.map(() => 0));
    await writeFile(
      join(folder, "batch.json"),
      JSON.stringify({ input_ids, targets, document_ids }),
    );
    const model = golden("llama_mha/meta");
    const gradients = await gradientsOf(folder, { model, recompute: "none" });
    const { grad_probes } = goldenExpected("llama_mha");
    for (const [tensor, values] of gradients) assertProbe(tensor, values, grad_probes[tensor]);
  });
});

Deno.test("probe --gradients wants targets, and a file of its own", async () => {
  await inFolder(async (folder) => {
    const batch = join(folder, "batch.json");
    await writeFile(batch, '{"input_ids": [[1, 2]]}');
    const out = join(folder, "out.safetensors");
    const args = ["probe", "--model", golden("llama_mha"), "--batch", batch, "--out", out];
    const refused = async (gradients: string, message: RegExp) => {
      const outcome = await runCli([...args, "--gradients", gradients]);
      deepStrictEqual([outcome.code, outcome.stdout], [2, ""], outcome.stderr);
      match(outcome.stderr, message);
      deepStrictEqual(await readdir(folder), ["batch.json"]);
    };
    await refused(join(folder, "grads.safetensors"), /the batch has no "targets"/);
    await refused(join(folder, ".", "out.safetensors"), /the logits go there/);
  });
});
