/**
 * A thread of the WebAssembly backend's pool: an instance of the same module over the same memory,
 * with a stack of its own. It serves until the pool stops or has had nothing to do for long.
 *
 * @module
 */

import type { WorkerOrder } from "./wasm_crew.ts";

interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerOrder>) => void) | null;
  postMessage(message: "started"): void;
  close(): void;
}

interface WorkerExports {
  readonly __stack_pointer: WebAssembly.Global;
  worker_serve(board: number, worker: number): void;
  worker_failed(board: number, worker: number): void;
}

const scope = self as unknown as WorkerScope;

function serve({ module, memory, board, worker, stack }: WorkerOrder): void {
  const panic = (): never => {
    throw new Error("a kernel panicked");
  };
  const start_worker = (): never => {
    throw new Error("a worker starts no workers");
  };
  const env = { memory, panic, start_worker, now: () => performance.now() };
  const instance = new WebAssembly.Instance(module, { env });
  const exports = instance.exports as unknown as WorkerExports;
  exports.__stack_pointer.value = stack;
  scope.postMessage("started");
  try {
    exports.worker_serve(board, worker);
  } catch {
    // The caller of the pool learns of it: it finds the job marked as failed.
    exports.worker_failed(board, worker);
  }
}

scope.onmessage = ({ data }) => {
  serve(data);
  scope.close();
};
