import assert from "node:assert/strict";
import { BackendError, UsageError } from "../../lib/base/errors.ts";
import { openWorld, worldOver } from "../../lib/comm/open.ts";
import { MeetingPlace, sharedMemory } from "../../lib/comm/local/meeting_place.ts";
import { LocalTransport } from "../../lib/comm/local/transport.ts";

Deno.test("a process that nobody started as ranks is one rank", () => {
  for (const world of [openWorld(), openWorld({ transport: "local" })]) {
    assert.deepEqual([world.rank, world.size, world.name], [0, 1, "world"]);
  }
});

Deno.test("a transport that is not here yet says so", () => {
  assert.throws(() => openWorld({ transport: "mpi" }), (error) => {
    assert.ok(error instanceof BackendError);
    assert.equal(
      error.message,
      'Cannot open the transport "mpi": not here yet: ranks in several processes',
    );
    assert.equal(error.tried[0]!.name, "mpi");
    return true;
  });
  assert.throws(() => openWorld({ transport: "nccl" }), /"nccl": not here yet: .*GPUs/);
});

Deno.test("an unknown transport is refused with those that are known", () => {
  const wanted = 'Cannot open the transport "tcp": local, mpi, nccl are known';
  assert.throws(() => openWorld({ transport: "tcp" }), new UsageError(wanted));
});

Deno.test("whatever carries messages can connect a world", () => {
  // Two ranks in one thread: what is started on both is finished by moving both on.
  const place = new MeetingPlace(sharedMemory(2, 64));
  const worlds = [0, 1].map((rank) => worldOver(new LocalTransport(place, rank)));
  const vectors = worlds.map(({ rank }) => new Float32Array(500).fill(rank + 1));
  const handles = worlds.map((world, rank) => world.startAllReduce(vectors[rank]!));
  // All are asked in each turn: asking is what moves a rank on.
  const done = () => handles.map((handle) => handle.done()).every((finished) => finished);
  for (let turn = 0; turn < 1000 && !done(); turn++);
  for (const vector of vectors) assert.ok(vector.every((value) => value === 3));
});
