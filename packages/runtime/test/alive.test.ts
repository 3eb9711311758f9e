// When a process is gone for certain, as the kernel shows it. A process whose first thread has ended is not to be had from Node, so what the kernel shows is written down here.
import t from 'tap'
import { alive, ended, startTimeOf } from '../src/real/alive.ts'

/** The folder of a process, its first thread in that state. */
const shown = (state: string, threads: readonly number[]) => ({
  stat: `70 (node) (x) Z) ${state} 1 70 70 0 -1 4228100 9 0 0 0 3 1 0 0 20 0 11 0 7654321 0 0 18446744073709551615\n`,
  task: Object.fromEntries(threads.map((thread) => [thread, {}])),
})

t.test('one that was killed is gone when its last thread is', async (t) => {
  const proc = t.testdir({
    70: shown('Z', [70, 71]),
    71: shown('Z', [71]),
    72: shown('S', [72, 73]),
    73: shown('X', [73]),
    74: shown('D', [74]),
  })
  t.equal(ended(70, proc), false, 'a thread is in the middle of something still')
  t.equal(ended(71, proc), true, 'its parent does not look')
  t.equal(ended(72, proc), false)
  t.equal(ended(73, proc), true)
  t.equal(ended(74, proc), false)
  t.equal(ended(75, proc), false, 'one of which nothing is shown')
})

t.test('a process is told from a later one with its number', async (t) => {
  const proc = t.testdir({ 70: shown('S', [70]) })
  t.equal(startTimeOf(70, proc), '7654321')
  t.equal(startTimeOf(71, proc), '')
  if (process.platform === 'linux') t.match(startTimeOf(process.pid), /^\d+$/)
})

t.test('this process is alive, and one that cannot be is not', async (t) => {
  t.equal(alive(process.pid), true)
  t.equal(alive(2 ** 30), false)
})
