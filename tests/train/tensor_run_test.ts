import assert from "node:assert/strict";
import { join } from "node:path";
import type { BackendName } from "../../lib/backend/backend.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { tensorValues } from "../../lib/checkpoint/tensor_values.ts";
import { runLocal } from "../../lib/comm/local/run.ts";
import { meshSize, parseMesh } from "../../lib/comm/mesh.ts";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { onBackends } from "../on_backends.ts";
import { inRunFolder, smallRun, timeless } from "./run_fixture.ts";
import type { SessionInput, SessionResult } from "./session_program.ts";

const MODULE = new URL("./session_program.ts", import.meta.url);

interface Training {
  readonly backend: BackendName;
  readonly folder: string;
  readonly data: string;
  readonly settings: RequestedSettings;
}

/** A run on a mesh: rows of its metrics, and the weights in the end. */
async function train(mesh: string, { backend, folder, data, settings }: Training) {
  const run = join(folder, `${mesh} ${JSON.stringify(settings).length}`);
  const config = smallRun(data, { dropout: 0.1, evalData: [data], ...settings, mesh });
  const input: SessionInput = { config, run, backend };
  const ranks = meshSize(parseMesh(mesh));
  const [{ rows }] = await runLocal<SessionResult>(MODULE, {
    ...{ ranks, input, timeLimitMs: 60_000 },
  }) as [SessionResult];
  const { tensors } = await openCheckpoint(join(runPaths(run).checkpoints, "latest"));
  const weights = new Map(
    [...tensors].map(([name, record]) =>
      [name, Float32Array.from([...tensorValues(record)!].flatMap((chunk) => [...chunk]))] as const
    ),
  );
  return { rows: timeless(rows), weights };
}

type Trained = Awaited<ReturnType<typeof train>>;

/** Fails unless weights are near: tests/golden/README.md's tolerance for AdamW's weights. */
function assertNear(is: Trained, wanted: Trained, mesh: string): void {
  assert.deepEqual([...is.weights.keys()].sort(), [...wanted.weights.keys()].sort());
  for (const [name, values] of wanted.weights) {
    const own = is.weights.get(name)!;
    assert.equal(own.length, values.length, `${mesh}: ${name}`);
    values.forEach((value, i) =>
      assert.ok(Math.abs(own[i]! - value) <= 3e-4, `${mesh}: ${name} ${i}`)
    );
  }
  wanted.rows.forEach(({ loss, grad_norm, eval_loss }, i) => {
    const row = is.rows[i]!;
    const near = (what: string, got: number, of: number) =>
      assert.ok(
        Math.abs(got - of) <= (1e-6 + 1e-5 * i) * of,
        `${mesh}: ${what} of step ${i + 1} is ${got}, ${of} wanted`,
      );
    near("loss", row.loss!, loss!);
    near("norm", row.grad_norm!, grad_norm!);
    if (eval_loss !== undefined) near("evaluation", row.eval_loss!, eval_loss);
  });
}

const MODELS: readonly RequestedSettings[] = [
  { model: { tieWordEmbeddings: false, numHiddenLayers: 2 } },
  // PaLM: one key and value head for all ranks, parallel blocks, a tied head, z-loss; its Adafactor
  // goes over whole tensors.
  { preset: "palm-debug", model: { numHiddenLayers: 2 } },
];

const MESHES = [
  "tensor=4",
  "data=2,tensor=2",
  "shard=2,tensor=2",
  "tensor=2,pipeline=2",
  "shard=2,tensor=2,pipeline=2",
];

for (const settings of MODELS) {
  const name = settings.preset ?? "llama, AdamW";
  onBackends(
    `runs of tensor ranks are one process's, alone and combined: ${name}`,
    async (on) => {
      await inRunFolder(async ({ folder, data }) => {
        const small = { batchTokens: 128, microBatch: 1, ...settings };
        const training = { backend: on.name, folder, data, settings: small };
        const wanted = await train("data=1", training);
        for (const mesh of MESHES) assertNear(await train(mesh, training), wanted, mesh);
        // What a tensor rank holds is the same from run to run.
        const again = { ...training, folder: join(folder, "again") };
        await Deno.mkdir(again.folder);
        const [first, second] = [
          await train("tensor=2", again),
          await train("tensor=2", {
            ...again,
            folder: join(folder, "once more"),
          }),
        ];
        assert.deepEqual(second, first);
      });
    },
  );
}
