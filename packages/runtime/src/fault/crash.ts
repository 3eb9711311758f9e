/** The end of a process at a fault point, as `kill -9` from outside would be at that moment: nothing is flushed, nobody is told. */
import { writeSync } from 'node:fs'

/** Does not return. */
export function crashHere(point: string): never {
  writeSync(2, `fault point ${point}: crash\n`)
  process.kill(process.pid, 'SIGKILL')
  // The signal is delivered before the system call returns; where it is not, nothing may run on.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}
