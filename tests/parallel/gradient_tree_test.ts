import assert from "node:assert/strict";
import { TreeSum } from "../../lib/comm/tree_sum.ts";
import type { Parameter } from "../../lib/model/training/trainable.ts";
import { GradientTree } from "../../lib/parallel/gradient_tree.ts";
import { onBackends } from "../on_backends.ts";

const COUNTS = [16, 5, 33];

/** Numbers whose sums depend on their order. */
function leafOf(leaf: number, count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    { length: count },
    (_, i) => Math.sin(leaf * 100 + i) * 10 ** (leaf % 5),
  );
}

onBackends(
  "micro-batches are added in the order of the tree over ranks, in any number",
  async (on) => {
    using opened = await on.open();
    const { backend } = opened;
    const arena = backend.alloc(4 * 128);
    let end = 0;
    const parameters = COUNTS.map((count) => {
      const grad = arena + 4 * end;
      end += Math.ceil(count / 16) * 16;
      return { count, grad } as Parameter;
    });
    const tree = new GradientTree(backend, parameters);
    const indices = [...parameters.keys()];
    for (const leaves of [1, 2, 3, 4, 5, 6, 7, 8, 13]) {
      tree.clear();
      const wanted = COUNTS.map(() => new TreeSum("sum"));
      for (let leaf = 0; leaf < leaves; leaf++) {
        parameters.forEach(({ count, grad }, index) => {
          backend.upload(grad, leafOf(leaf, count));
          wanted[index]!.add(leafOf(leaf, count));
        });
        if (leaf < leaves - 1) tree.add();
      }
      // As a backward pass has it: some of the gradients are complete before others.
      for (const index of indices.toReversed()) tree.finish([index]);
      parameters.forEach(({ count, grad }, index) => {
        const found = new Float32Array(count);
        backend.download(found, grad);
        assert.deepEqual(found, wanted[index]!.finish(), `${leaves} leaves, parameter ${index}`);
      });
    }
    tree.close();
  },
);
