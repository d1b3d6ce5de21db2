import assert from "node:assert/strict";
import { sentAtOnce } from "../../lib/parallel/device_mail.ts";
import {
  forwardPasses,
  pipelineActions,
  type PipelineMessage,
  pipelinePasses,
  type PipelineShape,
} from "../../lib/parallel/pipeline_schedule.ts";

/** What waits on a queue between GPUs: it begins after so many of the rank's kernels. */
interface Queued {
  readonly after: number;
  readonly peer: number;
}

/** One rank as its GPU sees it: kernels in order, each after ends of queues, and four queues. */
interface Program {
  readonly kernels: { readonly queue: string; readonly ends: number }[][];
  readonly queues: Map<string, Queued[]>;
}

/** What a rank enqueues for a step, as `device_mail.ts` does. */
function programOf(rank: number, shape: PipelineShape, passesOf: typeof pipelinePasses): Program {
  const program: Program = { kernels: [], queues: new Map() };
  const room = sentAtOnce(shape);
  const expected = new Map<string, { queue: string; ends: number }>();
  const enqueue = ({ kind, peer, reader }: PipelineMessage) => {
    const name = `${kind} ${reader.kind}`;
    const queue = program.queues.get(name) ?? [];
    program.queues.set(name, queue);
    queue.push({ after: program.kernels.length, peer });
    return { queue: name, ends: queue.length };
  };
  for (const action of pipelineActions(passesOf(rank, shape), shape)) {
    if (!("reader" in action)) {
      const read = expected.get(JSON.stringify(action));
      program.kernels.push(read === undefined ? [] : [read]);
    } else if (action.kind === "receive") {
      expected.set(JSON.stringify(action.reader), enqueue(action));
    } else {
      const queue = `send ${action.reader.kind}`;
      const sent = program.queues.get(queue)?.length ?? 0;
      // The copy to where it is sent from waits for the message that went from there.
      program.kernels.push([{ queue, ends: Math.max(0, sent + 1 - room) }]);
      enqueue(action);
    }
  }
  return program;
}

/** Ranks that come to no end, where a send ends no earlier than its receiver has come for it. */
function stuck(shape: PipelineShape, passesOf: typeof pipelinePasses): number[] {
  const programs = Array.from(
    { length: shape.ranks },
    (_, rank) => programOf(rank, shape, passesOf),
  );
  const done = programs.map(() => 0);
  const ended = programs.map(() => new Map<string, number>());
  const head = (rank: number, queue: string) => {
    const next = programs[rank]!.queues.get(queue)?.[ended[rank]!.get(queue) ?? 0];
    return next !== undefined && done[rank]! >= next.after ? next : undefined;
  };
  for (let moved = true; moved;) {
    moved = false;
    programs.forEach(({ kernels, queues }, rank) => {
      const ready = () =>
        kernels[done[rank]!]?.every(({ queue, ends }) => (ended[rank]!.get(queue) ?? 0) >= ends);
      while (ready()) {
        done[rank]!++;
        moved = true;
      }
      for (const queue of queues.keys()) {
        if (!queue.startsWith("send")) continue;
        const sent = head(rank, queue);
        const other = queue.replace("send", "receive");
        if (sent === undefined || head(sent.peer, other)?.peer !== rank) continue;
        for (const [one, name] of [[rank, queue], [sent.peer, other]] as const) {
          ended[one]!.set(name, (ended[one]!.get(name) ?? 0) + 1);
        }
        moved = true;
      }
    });
  }
  return programs.flatMap(({ kernels }, rank) => done[rank] === kernels.length ? [] : [rank]);
}

Deno.test("GPUs of no pipeline wait for each other in a ring, though sends wait for receivers", () => {
  for (const ranks of [2, 3, 4, 5, 6, 8]) {
    for (const chunks of [1, 2, 3]) {
      for (const microBatches of [1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 19, 23]) {
        const shape = { ranks, chunks, microBatches };
        for (const passesOf of [pipelinePasses, forwardPasses]) {
          assert.deepEqual(stuck(shape, passesOf), [], `${passesOf.name} ${JSON.stringify(shape)}`);
        }
      }
    }
  }
});
