import assert from "node:assert/strict";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { tensorValues } from "../../lib/checkpoint/tensor_values.ts";
import { runLocal } from "../../lib/comm/local/run.ts";
import { meshSize, parseMesh } from "../../lib/comm/mesh.ts";
import { ConfigError } from "../../lib/base/errors.ts";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { checkMesh } from "../../lib/train/run_mesh.ts";
import type { BackendName } from "../../lib/backend/backend.ts";
import { onBackends } from "../on_backends.ts";
import { inRunFolder, smallRun, timeless } from "./run_fixture.ts";
import type { SessionInput, SessionResult } from "./session_program.ts";

const MODULE = new URL("./session_program.ts", import.meta.url);

/** A run of four layers on a mesh: rows of its metrics, weights in the end, and reported formulas. */
async function trainTold(
  mesh: string,
  { backend, run, data, settings }: {
    readonly backend: BackendName;
    readonly run: string;
    readonly data: string;
    readonly settings?: RequestedSettings;
  },
) {
  const model = { numHiddenLayers: 4, ...settings?.model };
  const evalData = [data];
  const config = smallRun(data, {
    steps: 8,
    dropout: 0.1,
    logEvery: 4,
    ...settings,
    evalData,
    mesh,
    model,
  });
  const input: SessionInput = { config, run, backend };
  const ranks = meshSize(parseMesh(mesh));
  const [{ rows, events }] = await runLocal<SessionResult>(MODULE, {
    ranks,
    input,
    timeLimitMs: 60_000,
  }) as [SessionResult];
  const { tensors } = await openCheckpoint(join(runPaths(run).checkpoints, "latest"));
  const weights = new Map(
    [...tensors].map(([name, record]) =>
      [name, Float32Array.from([...tensorValues(record)!].flatMap((chunk) => [...chunk]))] as const
    ),
  );
  const formulas = events.flatMap((event) =>
    event.event === "communication" ? [event.pipeline?.formula] : []
  );
  return { trained: { rows: timeless(rows), weights }, formulas };
}

type Trained = Awaited<ReturnType<typeof trainTold>>["trained"];

async function train(...run: Parameters<typeof trainTold>): Promise<Trained> {
  return (await trainTold(...run)).trained;
}

/** Fails unless weights are near: tests/golden/README.md's tolerance for AdamW's weights. */
function assertNear(is: Trained, wanted: Trained): void {
  assert.deepEqual([...is.weights.keys()].sort(), [...wanted.weights.keys()].sort());
  for (const [name, values] of wanted.weights) {
    const own = is.weights.get(name)!;
    values.forEach((value, i) => assert.ok(Math.abs(own[i]! - value) <= 3e-4, `${name} ${i}`));
  }
  wanted.rows.forEach(({ loss }, i) => {
    assert.ok(Math.abs(is.rows[i]!.loss! - loss!) <= 1e-6 * loss! + 1e-5 * i, `step ${i + 1}`);
  });
}

onBackends(
  "a run on stages is one process's to the bit, its losses and norms too",
  async ({ name: backend }) => {
    await inRunFolder(async ({ folder, data }) => {
      const untied = { model: { tieWordEmbeddings: false } };
      const settings = { batchTokens: 96, microBatch: 1, ...untied };
      const wanted = await train("data=1", { backend, run: join(folder, "one"), data, settings });
      assert.ok(wanted.rows.some((row) => row.eval_loss !== undefined));
      for (const pipelineSchedule of ["1f1b", "interleaved"] as const) {
        for (const [mesh, ranks] of [["pipeline=2", 2], ["pipeline=3", 3]] as const) {
          const run = join(folder, `${mesh} ${pipelineSchedule}`);
          const { trained, formulas } = await trainTold(mesh, {
            backend,
            run,
            data,
            settings: { ...settings, pipelineSchedule },
          });
          assert.deepEqual(trained, wanted, run);
          // Narayanan et al. 2021, section 2.2, of six micro-batches.
          const bubble = (ranks - 1) / (6 * (pipelineSchedule === "interleaved" ? 2 : 1));
          assert.deepEqual(formulas, [bubble, bubble]);
        }
      }
    });
  },
  { quickest: true },
);

onBackends(
  "stages beside replicas, shards and tensor ranks train what one process does",
  async ({ name: backend }) => {
    await inRunFolder(async ({ folder, data }) => {
      for (const tieWordEmbeddings of [false, true]) {
        const settings = { batchTokens: 128, microBatch: 1, model: { tieWordEmbeddings } };
        const name = (mesh: string) => join(folder, `${mesh} ${tieWordEmbeddings}`);
        const wanted = await train("data=1", { backend, run: name("one"), data, settings });
        const meshes = ["data=2,pipeline=2", "tensor=2,pipeline=2", "shard=2,tensor=2,pipeline=2"];
        for (const mesh of meshes) {
          assertNear(await train(mesh, { backend, run: name(mesh), data, settings }), wanted);
        }
      }
    });
  },
  { quickest: true },
);

onBackends(
  "in one tree the number of replicas of a pipeline changes no bit",
  async ({ name: backend }) => {
    await inRunFolder(async ({ folder, data }) => {
      for (const pipelineSchedule of ["1f1b", "interleaved"] as const) {
        const settings = {
          batchTokens: 128,
          microBatch: 1,
          reduce: "tree",
          pipelineSchedule,
        } as const;
        const [one, two] = await Promise.all(
          ["pipeline=2", "data=2,pipeline=2"].map((mesh) =>
            train(mesh, {
              backend,
              run: join(folder, `${mesh} ${pipelineSchedule}`),
              data,
              settings,
            })
          ),
        );
        assert.deepEqual(two, one);
      }
    });
  },
  { quickest: true },
);

onBackends(
  "shards of stages give the bits of whole replicas, in every stage of ZeRO",
  async ({ name: backend }) => {
    await inRunFolder(async ({ folder, data }) => {
      for (const tieWordEmbeddings of [false, true]) {
        const name = (mesh: string) => join(folder, `${mesh} ${tieWordEmbeddings}`);
        for (const [reduce, stages] of [["ranks", [1, 3]], ["tree", [2]]] as const) {
          const settings = { batchTokens: 64, microBatch: 1, reduce, model: { tieWordEmbeddings } };
          const run = name(`whole ${reduce}`);
          const wanted = await train("data=2,pipeline=2", { backend, run, data, settings });
          for (const zero of stages) {
            const trained = await train("shard=2,pipeline=2", {
              ...{ backend, run: name(`stage ${zero}`), data },
              settings: { ...settings, zero },
            });
            assert.deepEqual(trained, wanted, `stage ${zero}`);
          }
        }
      }
    });
  },
  { quickest: true },
);

Deno.test("a pipeline of more stages than a model has layers for is refused", () => {
  const config = smallRun("nowhere", { pipelineSchedule: "interleaved", mesh: "pipeline=4" });
  const deep = (numHiddenLayers: number) => ({ ...config.model, numHiddenLayers });
  checkMesh({ ...config, model: deep(6) }, 4);
  assert.throws(() => checkMesh({ ...config, model: deep(5) }, 4), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /5 layers into 8 stages/);
    return true;
  });
});
