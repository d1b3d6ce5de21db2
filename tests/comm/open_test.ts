import assert from "node:assert/strict";
import { BackendError, UsageError } from "../../lib/base/errors.ts";
import type { Environment } from "../../lib/comm/mpi/launch.ts";
import { openWorld, worldOver } from "../../lib/comm/open.ts";
import { MeetingPlace, sharedMemory } from "../../lib/comm/local/meeting_place.ts";
import { LocalTransport } from "../../lib/comm/local/transport.ts";

function environmentOf(variables: Readonly<Record<string, string>>): Environment {
  return (name) => variables[name];
}

Deno.test("a process that nobody started as ranks is one rank", () => {
  const one = environmentOf({ OMPI_COMM_WORLD_RANK: "0", OMPI_COMM_WORLD_SIZE: "1" });
  const worlds = [
    openWorld(),
    openWorld({ transport: "local" }),
    openWorld({ environment: environmentOf({}) }),
    openWorld({ environment: one }),
  ];
  for (const { communicator, transport, close } of worlds) {
    const { rank, size, name } = communicator;
    assert.deepEqual([rank, size, name, transport], [0, 1, "world", "local"]);
    close();
  }
});

Deno.test("a transport that cannot be opened says why, and what to do", () => {
  assert.throws(() => openWorld({ transport: "mpi", environment: environmentOf({}) }), (error) => {
    assert.ok(error instanceof BackendError);
    const wanted = 'Cannot open the transport "mpi": no launcher has started this process';
    assert.equal(error.message, wanted);
    assert.match(error.hint!, /mpirun -n 2/);
    return true;
  });
  assert.throws(() => openWorld({ transport: "nccl" }), /"nccl": LLAMERO_RANK_SEAT is not set/);
  const half = environmentOf({ LLAMERO_RANK_SEAT: "2/2/77/file" });
  assert.throws(() => openWorld({ environment: half }), /which rank this is: .* "2\/2\/77\/file"/);
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
